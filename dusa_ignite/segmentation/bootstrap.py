"""How far a difference in mIoU hangs on the choice of images: the paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dusa_ignite.segmentation.scores import mean_iou

CHUNK = 4_000_000  # numbers held at once while resampling


class Interval(NamedTuple):
    """A difference, and the ends of its 95 % interval."""

    difference: float
    low: float
    high: float


def paired_interval(
    counts: np.ndarray,
    reference: np.ndarray,
    *,
    score: Callable[[np.ndarray], np.ndarray] = mean_iou,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A score of all images together minus that of a reference on the same images, with a percentile interval.

    mIoU is no mean over images: in every resample the counts of the images drawn are summed, and scored then. The image
    is what is drawn, with all its tasks and seeds: sum these up per image beforehand.

    Args:
        counts: (N, 3, C), per image, see :func:`dusa_ignite.segmentation.counts.class_counts`.
        reference: (N, 3, C), of the same images in the same order.
        score: of summed counts (..., 3, C).
        resamples: how many.
        seed: of the resampling.

    Raises:
        ValueError: the two do not have the same shape, there is no image, or they do not have the same labels.
    """
    if counts.shape != reference.shape or counts.ndim != 3 or not len(counts):
        raise ValueError(f"counts of shape {counts.shape} cannot be paired with those of shape {reference.shape}")
    if not np.array_equal(counts[:, 1], reference[:, 1]):
        raise ValueError("the two were not scored on the same labels")
    generator = np.random.default_rng(seed)
    total = len(counts)
    both = np.stack([counts, reference], axis=1).reshape(total, -1).astype(np.float64)
    chunk = max(1, CHUNK // max(total, both.shape[1]))
    differences = []
    for begin in range(0, resamples, chunk):
        size = min(chunk, resamples - begin)
        times = generator.multinomial(total, np.full(total, 1 / total), size=size)  # (R, N) how often each is drawn
        sums = (times @ both).reshape(size, 2, *counts.shape[1:])
        differences.append(score(sums[:, 0]) - score(sums[:, 1]))
    low, high = np.nanpercentile(np.concatenate(differences), (2.5, 97.5))
    observed = score(counts.sum(axis=0)) - score(reference.sum(axis=0))
    return Interval(float(observed), float(low), float(high))
