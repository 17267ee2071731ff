"""The number by which methods are judged: top-1 of images, or mIoU of pixels. Both are made of sums over images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from dusa_ignite.segmentation.scores import mean_iou


class Score(NamedTuple):
    """A score, and how it is made.

    Attributes:
        column: of the results.
        title: what readers call it.
        of: maps sums over images (..., D) to scores (...) in [0, 1]; NaN where nothing was labelled.
        labelled: the part of sums (..., D) that follows from the labels alone: for runs on the same labels it is the
            same.
    """

    column: str
    title: str
    of: Callable[[np.ndarray], np.ndarray]
    labelled: Callable[[np.ndarray], np.ndarray]


def _share(sums: np.ndarray) -> np.ndarray:
    """Hits / images, of (..., 2)."""
    hits, images = sums[..., 0], sums[..., 1]
    return np.divide(hits, images, out=np.full(np.shape(images), np.nan), where=images > 0)


def _images(sums: np.ndarray) -> np.ndarray:
    """(..., 1)."""
    return sums[..., 1:]


def _mean_iou(sums: np.ndarray) -> np.ndarray:
    """mIoU of flattened counts (..., 3 C)."""
    return mean_iou(_by_class(sums))


def _labelled_pixels(sums: np.ndarray) -> np.ndarray:
    """(..., C)."""
    return _by_class(sums)[..., 1, :]


def _by_class(sums: np.ndarray) -> np.ndarray:
    """(..., 3, C) of (..., 3 C)."""
    return sums.reshape(*sums.shape[:-1], 3, -1)


TOP1 = Score("top1", "top-1", _share, _images)  # of (right, 1)
MIOU = Score("miou", "mIoU", _mean_iou, _labelled_pixels)  # of counts, see segmentation.counts.class_counts
SCORES = (TOP1, MIOU)


def score_of(numbers: Mapping[str, Any]) -> Score:
    """The score that a row of results, or the engine's metrics, hold; top-1 where they hold none."""
    return next((score for score in SCORES if score.column in numbers), TOP1)
