"""Any runs side by side, finished or not: their scores, paired differences, and what speaks against comparing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dusa_ignite.comparison.comparable import Evidence, common_score, reasons_against
from dusa_ignite.comparison.finished import Stream, read_predictions
from dusa_ignite.comparison.statistics import RESAMPLES, paired_differences
from dusa_ignite.comparison.tables import interval_text
from dusa_ignite.data.segmentation.label_maps import UNKNOWN
from dusa_ignite.errors import DataError
from dusa_ignite.results import files
from dusa_ignite.results.rows import Row, read_csv
from dusa_ignite.results.score import Score, score_of
from dusa_ignite.results.tables import comparison_table, header_lines, text_table


class SideRun(NamedTuple):
    """A run, as far as its folder has it.

    Attributes:
        rows: results by task, the mean last.
        streams: labelled images of the tasks that have a row.
        made_of: run.json; empty where there is none.
    """

    rows: list[Row]
    streams: dict[str, Stream]
    made_of: Mapping[str, Any]


def read_side_run(folder: Path) -> SideRun:
    """Read what there is.

    Raises:
        DataError: no task has completed, or a file is not what a run writes.
    """
    if not (folder / files.RESULTS).is_file():
        raise DataError(f"{folder}: holds no {files.RESULTS}; give the folder of a run")
    rows = read_csv(folder / files.RESULTS)
    streams: dict[str, Stream] = {}
    made_of: Any = {}
    path = folder / files.PREDICTIONS
    try:
        if path.is_file():
            found = read_predictions(path, score=score_of(rows[-1]), num_classes=UNKNOWN)  # as many as there can be
            streams = {row["task"]: found[row["task"]] for row in rows if row["task"] in found}
        path = folder / files.RUN
        if path.is_file():
            made_of = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not as a run writes it ({error}); run again") from error
    return SideRun(rows, streams, made_of if isinstance(made_of, dict) else {})


def side_by_side(runs: Mapping[str, SideRun]) -> str:
    """The table of all runs; the differences from the first, with intervals; and in plain words what is not the same.

    Args:
        runs: by name, at least one.

    Raises:
        DataError: some classify, others segment.
    """
    first, *others = runs
    score = common_score({name: run.rows[-1] for name, run in runs.items()})
    evidence = {name: Evidence(name, run.streams, run.made_of) for name, run in runs.items()}
    against = {name: reasons_against(evidence[first], evidence[name]) for name in others}
    parts = [comparison_table({name: run.rows for name, run in runs.items()})]
    paired = [name for name in others if not against[name] and _tasks_of(runs[name]) == _tasks_of(runs[first])]
    paired = [name for name in paired if runs[name].streams and runs[name].streams.keys() == runs[first].streams.keys()]
    if paired:
        parts += [_differences(runs, first, paired, score=score)]
    notes = [f"{name}: {line}" for name, run in runs.items() for line in header_lines(run.made_of)]
    notes += [f"warning: {reason}; do not compare them" for reasons in against.values() for reason in reasons]
    notes += [f"warning: {note}" for name in others for note in _tasks_note(runs, first, name)]
    unknown = [name for name, run in runs.items() if not run.streams and any(score.column in row for row in run.rows)]
    if unknown and others:
        notes.append(f"warning: no {files.PREDICTIONS} of {', '.join(unknown)}: whether images are the same is unknown")
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def _differences(runs: Mapping[str, SideRun], first: str, others: Sequence[str], *, score: Score) -> str:
    """A line per task, points of the score above or below the first run."""
    reference = runs[first].streams
    found = {
        name: paired_differences({0: {task: runs[name].streams[task] for task in reference}}, {0: reference})
        for name in others
    }
    lines = [[task, *(interval_text(found[name][task]) for name in others)] for task in [*reference, "mean"]]
    table = text_table([f"minus {first}", *others], lines)
    return (
        f"{table}\nPoints of {score.title}, paired by image; 95% bootstrap intervals from {RESAMPLES} resamples of the "
        f"images."
    )


def _tasks_note(runs: Mapping[str, SideRun], first: str, other: str) -> list[str]:
    if _tasks_of(runs[first]) == _tasks_of(runs[other]):
        return []
    return [f"{first} and {other} have different tasks: their means are not over the same"]


def _tasks_of(run: SideRun) -> set[str]:
    return {row["task"] for row in run.rows}
