"""Means over seeds, collapses, and paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dusa_ignite.comparison.finished import Stream
from dusa_ignite.errors import DataError

QUARTER_LOSS = 0.10  # a final quarter this much below the first is a collapse
ROUNDING = 1e-12  # ten points exactly are not more than ten points
RESAMPLES = 2000
CHUNK = 4_000_000  # numbers held at once while resampling

Streams = Mapping[str, Stream]  # of one run, by task


class Estimate(NamedTuple):
    """A mean over seeds and the standard deviation between them (n - 1; ``None`` with a single seed)."""

    mean: float
    std: float | None


class Interval(NamedTuple):
    """A difference, and the ends of its 95 % bootstrap interval."""

    difference: float
    low: float
    high: float


def mean_and_std(values: Sequence[float]) -> Estimate:
    """Over seeds."""
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def quarters(correct: np.ndarray) -> tuple[float, float]:
    """Accuracy of the first and of the final quarter of a stream."""
    size = max(1, len(correct) // 4)
    return float(correct[:size].mean()), float(correct[-size:].mean())


def has_collapsed(correct: np.ndarray, source: np.ndarray) -> bool:
    """Whether a method has come to harm on a stream that Source stands.

    It has if its final quarter is below half of Source's, or if its final quarter is more than ten points below its own
    first while Source's is not.

    Args:
        correct: per image in the order of the stream, (N,) booleans.
        source: the same for Source on the same stream.
    """
    (first, final), (source_first, source_final) = quarters(correct), quarters(source)
    source_holds = source_final >= source_first - QUARTER_LOSS - ROUNDING
    return final < source_final / 2 or (source_holds and final < first - QUARTER_LOSS - ROUNDING)


def paired_differences(
    runs: Mapping[int, Streams], reference: Mapping[int, Streams], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Top-1 minus the reference's, per task and (``mean``) over tasks, in [-1, 1], with percentile intervals.

    Predictions are paired by task, image and seed. What is resampled are the positions in the data set, with all tasks
    and seeds of a position together: the corrupted versions of an image are not independent of each other. So the
    interval says how far the result hangs on the choice of images; it holds for the given seeds.

    Args:
        runs: by seed.
        reference: by seed.
        resamples: how many.
        seed: of the resampling.

    Raises:
        DataError: the two did not see the same images.
    """
    if runs.keys() != reference.keys():
        raise DataError(f"runs with seeds {sorted(runs)} cannot be paired with seeds {sorted(reference)}")
    tasks = list(next(iter(reference.values())))
    positions = np.unique(np.concatenate([stream.index for run in reference.values() for stream in run.values()]))
    gains = np.zeros((len(positions), len(tasks)))  # summed over seeds
    counts = np.zeros_like(gains)
    for number, run in runs.items():
        if list(run) != tasks or list(reference[number]) != tasks:
            raise DataError(f"seed {number}: the runs to be paired have different tasks")
        for column, task in enumerate(tasks):
            index, gain = _paired(run[task], reference[number][task], where=f"{task}, seed {number}")
            place = np.searchsorted(positions, index)
            gains[place, column] += gain
            counts[place, column] += 1
    observed = gains.sum(axis=0) / counts.sum(axis=0)
    resampled = _resample(gains, counts, resamples=resamples, seed=seed)
    ends = np.nanpercentile(np.column_stack([resampled, np.nanmean(resampled, axis=1)]), (2.5, 97.5), axis=0)
    differences = [*observed, observed.mean()]
    return {
        task: Interval(float(difference), float(low), float(high))
        for task, difference, low, high in zip([*tasks, "mean"], differences, *ends, strict=True)
    }


def _paired(one: Stream, other: Stream, *, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Sorted positions, and the difference of correctness at each."""
    order, other_order = np.argsort(one.index), np.argsort(other.index)
    index = one.index[order]
    if not np.array_equal(index, other.index[other_order]):
        raise DataError(f"{where}: the runs to be paired did not see the same images")
    return index, one.correct[order].astype(float) - other.correct[other_order]


def _resample(gains: np.ndarray, counts: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """Differences (R, tasks) of R resamples of the positions; NaN where a resample has no image of a task."""
    generator = np.random.default_rng(seed)
    total, parts = len(gains), []
    chunk = max(1, CHUNK // total)
    for begin in range(0, resamples, chunk):
        size = min(chunk, resamples - begin)
        drawn_positions = generator.integers(total, size=(size, total)) + total * np.arange(size)[:, None]
        times = np.bincount(drawn_positions.ravel(), minlength=size * total).reshape(size, total).astype(float)
        drawn = times @ counts
        parts.append(np.divide(times @ gains, drawn, out=np.full_like(drawn, np.nan), where=drawn > 0))
    return np.concatenate(parts)
