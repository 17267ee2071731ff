"""Images, label maps and predicted maps as small pictures in colours that tell classes apart."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from dusa_ignite.data import Task
from dusa_ignite.data.segmentation.label_maps import UNKNOWN
from dusa_ignite.results.pixel_sums import Shown
from dusa_ignite.results.thumbnails import Thumbnail, thumbnail

GREY = (150, 150, 150)  # of what nobody labelled
TURN = 0.618034  # of the hue from class to class: neighbours in the list look different


class LabelPictures(NamedTuple):
    """An image, its label map (``None`` = it has none) and the adapted segmenter's."""

    image: Thumbnail
    labels: Thumbnail | None
    predicted: Thumbnail


def class_colour(label: int) -> tuple[int, int, int]:
    """RGB of a class, 0 .. 255; the first is dark, as it often is the ground."""
    if label == UNKNOWN:
        return GREY
    if label == 0:
        return (60, 60, 70)
    red, green, blue = colorsys.hsv_to_rgb((TURN * label) % 1.0, 0.75 if label % 2 else 0.5, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


COLOURS = np.array([class_colour(label) for label in range(UNKNOWN + 1)], dtype=np.uint8)


def coloured(labels: np.ndarray) -> torch.Tensor:
    """(3, H, W) uint8 of a label map (H, W)."""
    return torch.from_numpy(COLOURS[labels.astype(np.uint8)]).permute(2, 0, 1)


def label_pictures(tasks: Sequence[Task], shown: Sequence[Shown], *, folder: Path) -> dict[tuple[str, int], Any]:
    """Pictures by task and position; images that cannot be read again are left out.

    Args:
        tasks: of the run; the images are read from them again.
        shown: which images.
        folder: of the run, which holds the predicted maps.
    """
    datasets: Mapping[str, Any] = {task.name: task.dataset for task in tasks}
    found: dict[tuple[str, int], Any] = {}
    for one in shown:
        try:
            pixels, labels = datasets[one.task][one.position]
            truth = thumbnail(coloured(labels.numpy())) if bool((labels != UNKNOWN).any()) else None
            predicted = thumbnail(coloured(np.array(Image.open(folder / one.map))))
            found[one.task, one.position] = LabelPictures(thumbnail(pixels), truth, predicted)
        except Exception:  # of a user's own data set it may be any; the picture is the least of a report
            continue
    return found
