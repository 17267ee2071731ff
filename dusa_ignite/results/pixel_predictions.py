"""Segmentation's predictions.csv: a line per image, with what it adds to every score; the maps are PNG files."""

from __future__ import annotations

import numpy as np

COLUMNS = (
    "task",
    "index",  # position in the task's data set
    "path",  # of the image's file; empty where the data set has none
    "map",  # the predicted label map, below the run's folder
    "confidence",  # mean probability of the predicted classes
    "source_agreement",  # share of the pixels predicted as by the source model; empty where it has not been asked
    "counts",  # class:right/labelled/predicted, in pixels with a label; classes without any are left out
    "source_counts",  # likewise, of the source model's predictions
)


def counts_text(counts: np.ndarray) -> str:
    """``3:120/150/130 7:0/0/12``, of counts (3, C), see :func:`dusa_ignite.segmentation.counts.class_counts`."""
    classes = np.flatnonzero(counts.any(axis=0))
    return " ".join(f"{label}:{'/'.join(map(str, counts[:, label].tolist()))}" for label in classes.tolist())


def read_counts(text: str, *, num_classes: int) -> np.ndarray:
    """The inverse of :func:`counts_text`: (3, C) int64.

    Raises:
        ValueError: it is not what a run writes, or has more classes.
    """
    counts = np.zeros((3, num_classes), dtype=np.int64)
    for part in text.split():
        label, _, numbers = part.partition(":")
        own = [int(number) for number in numbers.split("/")]
        if len(own) != 3 or not 0 <= int(label) < num_classes:
            raise ValueError(f"{part!r} is no class:right/labelled/predicted of {num_classes} classes")
        counts[:, int(label)] = own
    return counts
