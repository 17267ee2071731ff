"""Means over seeds, collapses, and paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dusa_ignite.comparison.finished import Stream
from dusa_ignite.errors import DataError
from dusa_ignite.results.score import Score

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


def quarters(stream: Stream) -> tuple[float, float]:
    """The score of the first and of the final quarter of a stream."""
    size = max(1, len(stream) // 4)
    return stream.scored(slice(size)), stream.scored(slice(-size, None))


def has_collapsed(stream: Stream, source: Stream) -> bool:
    """Whether a method has come to harm on a stream that Source stands.

    It has if its final quarter is below half of Source's, or if its final quarter is more than ten points below its own
    first while Source's is not.

    Args:
        stream: the method's.
        source: that of Source, on the same images in the same order.
    """
    (first, final), (source_first, source_final) = quarters(stream), quarters(source)
    source_holds = source_final >= source_first - QUARTER_LOSS - ROUNDING
    return final < source_final / 2 or (source_holds and final < first - QUARTER_LOSS - ROUNDING)


def paired_differences(
    runs: Mapping[int, Streams], reference: Mapping[int, Streams], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """The score minus the reference's, per task and (``mean``) over tasks, in [-1, 1], with percentile intervals.

    A task's score is that of the sums over its images and seeds; mIoU is no mean over images, so it is made anew of the
    sums in every resample.

    Predictions are paired by task, image and seed. What is resampled are the positions in the data set, with all tasks
    and seeds of a position together: the corrupted versions of an image are not independent of each other. So the
    interval says how far the result hangs on the choice of images; it holds for the given seeds.

    Args:
        runs: by seed.
        reference: by seed.
        resamples: how many.
        seed: of the resampling.

    Raises:
        DataError: the two did not see the same images, or these had other labels.
    """
    if runs.keys() != reference.keys():
        raise DataError(f"runs with seeds {sorted(runs)} cannot be paired with seeds {sorted(reference)}")
    tasks = list(next(iter(reference.values())))
    for number, run in runs.items():
        if list(run) != tasks or list(reference[number]) != tasks:
            raise DataError(f"seed {number}: the runs to be paired have different tasks")
        for task in tasks:
            _check_pair(run[task], reference[number][task], where=f"{task}, seed {number}")
    score = next(iter(reference.values()))[tasks[0]].score
    positions = np.unique(np.concatenate([stream.index for run in reference.values() for stream in run.values()]))
    own, others = (
        [_summed([run[task] for run in each.values()], positions) for task in tasks] for each in (runs, reference)
    )
    once = np.ones((1, len(positions)))
    observed = _differences(once, own, others, score)[0]
    resampled = np.concatenate(
        [_differences(times, own, others, score) for times in _resample(*own[0].shape, resamples=resamples, seed=seed)]
    )
    ends = np.nanpercentile(np.column_stack([resampled, np.nanmean(resampled, axis=1)]), (2.5, 97.5), axis=0)
    differences = [*observed, observed.mean()]
    return {
        task: Interval(float(difference), float(low), float(high))
        for task, difference, low, high in zip([*tasks, "mean"], differences, *ends, strict=True)
    }


def _check_pair(one: Stream, other: Stream, *, where: str) -> None:
    order, other_order = np.argsort(one.index), np.argsort(other.index)
    if not np.array_equal(one.index[order], other.index[other_order]):
        raise DataError(f"{where}: the runs to be paired did not see the same images")
    labelled, other_labelled = one.score.labelled(one.sums), other.score.labelled(other.sums)
    if not np.array_equal(labelled[order], other_labelled[other_order]):
        raise DataError(f"{where}: the runs to be paired were not scored on the same labels")


def _summed(streams: Sequence[Stream], positions: np.ndarray) -> np.ndarray:
    """(P, D): what the image at each position adds in all seeds' streams of a task; 0 where they have none."""
    sums = np.zeros((len(positions), streams[0].sums.shape[1]), dtype=streams[0].sums.dtype)
    for stream in streams:
        sums[np.searchsorted(positions, stream.index)] += stream.sums
    return sums


def _differences(
    times: np.ndarray, own: Sequence[np.ndarray], others: Sequence[np.ndarray], score: Score
) -> np.ndarray:
    """(R, tasks): differences where images count ``times`` (R, P); NaN where a task has none of them."""
    return np.column_stack(
        [score.of(times @ mine) - score.of(times @ theirs) for mine, theirs in zip(own, others, strict=True)]
    )


def _resample(positions: int, width: int, *, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of P positions is drawn, (R, P) floats in pieces; ``width`` numbers per resample are held, too."""
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK // max(positions, width))
    for begin in range(0, resamples, chunk):
        size = min(chunk, resamples - begin)
        drawn = generator.integers(positions, size=(size, positions)) + positions * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * positions).reshape(size, positions).astype(float)
