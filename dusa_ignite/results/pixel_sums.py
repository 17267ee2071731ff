"""What a report shows of a run that segments, over all its tasks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Shown(NamedTuple):
    """An image of a run that segments; columns as in predictions.csv, whose ``index`` is ``position`` here."""

    task: str
    position: int
    path: str
    map: str
    agreement: float


class PixelSums(NamedTuple):
    """Pixels of all tasks together, where a run segments.

    Attributes:
        counts: (3, C), see :func:`dusa_ignite.segmentation.counts.class_counts`.
        source: likewise, of the source model.
        shown: some images, drawn by a hash of task and position.
    """

    counts: np.ndarray
    source: np.ndarray
    shown: list[Shown]
