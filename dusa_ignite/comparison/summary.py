"""From finished runs to one summary per method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dusa_ignite.comparison.comparable import Evidence, all_reasons_against, common_score
from dusa_ignite.comparison.finished import FinishedRun
from dusa_ignite.comparison.plan import SOURCE
from dusa_ignite.comparison.statistics import Estimate, Interval, has_collapsed, mean_and_std, paired_differences
from dusa_ignite.errors import DataError
from dusa_ignite.results.score import TOP1, Score


@dataclass(frozen=True)
class MethodSummary:
    """A row of the comparison.

    Attributes:
        label: the method's.
        seeds: of its runs.
        score: by which it is judged.
        scores: in [0, 1], by task and ``mean``.
        ece: mean over tasks, in [0, 1]; ``None`` in segmentation.
        images_per_second: over whole runs.
        guide_work: in forward passes of the guide per image, see :attr:`FinishedRun.guide_work`.
        peak_memory: the largest of the seeds, bytes by place.
        skipped_updates: over all tasks and seeds.
        collapsed: in how many seeds, by task; see :func:`dusa_ignite.comparison.statistics.has_collapsed`.
        below_chance: in how many seeds top-1 was below 1 / classes, by task; see :func:`falls_below_chance`.
        differences: from the reference, by task and ``mean``; ``None`` for the reference itself.
    """

    label: str
    seeds: tuple[int, ...]
    score: Score
    scores: dict[str, Estimate]
    ece: Estimate | None
    images_per_second: Estimate
    guide_work: float | None
    peak_memory: dict[str, int]
    skipped_updates: int
    collapsed: dict[str, int]
    below_chance: dict[str, int]
    differences: dict[str, Interval] | None

    @property
    def flagged(self) -> set[str]:
        """The tasks that went wrong, in whichever way."""
        return {*self.collapsed, *self.below_chance}


def summarise(runs: Sequence[FinishedRun], *, reference: str) -> list[MethodSummary]:
    """One summary per label, in the order of the runs.

    Args:
        runs: every label with the same seeds; one label is Source.
        reference: label that the others are compared with.

    Raises:
        DataError: the runs did not see the same tasks or images, or are not judged by the same score.
    """
    labels = list(dict.fromkeys(run.label for run in runs))
    by_label = {label: {run.seed: run for run in runs if run.label == label} for label in labels}
    source = next(by_label[run.label] for run in runs if run.config.method.name == SOURCE)
    score = common_score({str(run.folder): run.rows["mean"] for run in runs})
    tasks = list(runs[0].streams)
    for run in runs:
        if list(run.streams) != tasks:
            raise DataError(f"{run.folder}: has other tasks than {runs[0].folder}; they cannot be compared")
    for seed in dict.fromkeys(run.seed for run in runs):  # other seeds may draw other images
        evidence = [Evidence(str(run.folder), run.streams, run.made_of) for run in runs if run.seed == seed]
        for reason in all_reasons_against(evidence):
            raise DataError(f"{reason}; they cannot be compared: run them again with --overwrite")
    return [
        MethodSummary(
            label=label,
            seeds=tuple(own),
            score=score,
            scores={task: _over_seeds(own, task, score.column) for task in [*tasks, "mean"]},
            ece=_over_seeds(own, "mean", "ece") if score == TOP1 else None,
            images_per_second=_over_seeds(own, "mean", "images_per_second"),
            guide_work=next(iter(own.values())).guide_work,
            peak_memory=_largest([run.peak_memory for run in own.values()]),
            skipped_updates=int(sum(run.rows["mean"]["skipped_updates"] for run in own.values())),
            collapsed=collapses(own, source),
            below_chance=falls_below_chance(own),
            differences=None if label == reference else _differences(own, by_label[reference]),
        )
        for label, own in by_label.items()
    ]


def collapses(runs: dict[int, FinishedRun], source: dict[int, FinishedRun]) -> dict[str, int]:
    """In how many seeds a task has collapsed, for tasks with any."""
    return _per_task(
        runs,
        lambda run, task: has_collapsed(run.streams[task], source[run.seed].streams[task]),
    )


def falls_below_chance(runs: dict[int, FinishedRun]) -> dict[str, int]:
    """In how many seeds a task's top-1 is below 1 / classes that it is scored over, for tasks with any.

    None for mIoU: what guessing reaches depends on the area that each class has.
    """
    return _per_task(
        runs, lambda run, task: run.score == TOP1 and run.streams[task].scored() < 1 / run.num_scored(task)
    )


def _over_seeds(runs: dict[int, FinishedRun], task: str, column: str) -> Estimate:
    return mean_and_std([run.rows[task][column] for run in runs.values()])


def _per_task(runs: dict[int, FinishedRun], is_wrong: Callable[[FinishedRun, str], bool]) -> dict[str, int]:
    counts = {task: sum(is_wrong(run, task) for run in runs.values()) for task in next(iter(runs.values())).streams}
    return {task: int(count) for task, count in counts.items() if count}


def _differences(runs: dict[int, FinishedRun], reference: dict[int, FinishedRun]) -> dict[str, Interval]:
    return paired_differences(
        {seed: run.streams for seed, run in runs.items()}, {seed: run.streams for seed, run in reference.items()}
    )


def _largest(peaks: Sequence[dict[str, int]]) -> dict[str, int]:
    places = dict.fromkeys(place for peak in peaks for place in peak)
    return {place: max(peak.get(place, 0) for peak in peaks) for place in places}
