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
    """

    column: str
    title: str
    of: Callable[[np.ndarray], np.ndarray]


def _share(sums: np.ndarray) -> np.ndarray:
    """Hits / images, of (..., 2)."""
    hits, images = sums[..., 0], sums[..., 1]
    return np.divide(hits, images, out=np.full(np.shape(images), np.nan), where=images > 0)


def _mean_iou(sums: np.ndarray) -> np.ndarray:
    """mIoU of flattened counts (..., 3 C)."""
    return mean_iou(sums.reshape(*sums.shape[:-1], 3, -1))


TOP1 = Score("top1", "top-1", _share)
MIOU = Score("miou", "mIoU", _mean_iou)
SCORES = (TOP1, MIOU)


def score_of(numbers: Mapping[str, Any]) -> Score:
    """The score that a row of results, or the engine's metrics, hold; top-1 where they hold none."""
    return next((score for score in SCORES if score.column in numbers), TOP1)
