"""A finished run, read back from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import DataError
from dusa_ignite.methods.find import find_method
from dusa_ignite.results import files
from dusa_ignite.results.pixel_predictions import read_counts
from dusa_ignite.results.predictions import read_columns
from dusa_ignite.results.rows import Row, read_csv
from dusa_ignite.results.score import MIOU, Score, score_of
from dusa_ignite.runs.claim import check_format
from dusa_ignite.runs.folder import is_finished


@dataclass(frozen=True)
class Stream:
    """The labelled images of a task, in the order in which they came.

    Attributes:
        index: position in the task's data set, (N,) integers.
        sums: what each image adds to the numbers that the score is made of, (N, D) integers: whether it is right, and
            1, for top-1; its counts of pixels for mIoU.
        score: of sums over images.
    """

    index: np.ndarray
    sums: np.ndarray
    score: Score

    def __len__(self) -> int:
        """N."""
        return len(self.index)

    def scored(self, part: slice = slice(None)) -> float:
        """The score of a part of the images, in [0, 1]."""
        return float(self.score.of(self.sums[part].sum(axis=0)))


@dataclass(frozen=True)
class FinishedRun:
    """What a comparison needs of a run.

    Attributes:
        label: the row it belongs to.
        config: as it was run.
        score: by which it is judged.
        rows: results by task, ``mean`` among them.
        streams: by task, in the order of the run.
        peak_memory: bytes by place, ``host`` and perhaps ``gpu``.
        made_of: versions, commit, hashes, hardware, see :mod:`dusa_ignite.runs.provenance`.
    """

    label: str
    folder: Path
    config: Config
    score: Score
    rows: dict[str, Row]
    streams: dict[str, Stream]
    peak_memory: dict[str, int]
    made_of: dict[str, Any]

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.config.seed

    @property
    def guide_work(self) -> float | None:
        """Forward passes of the guide per image, see :meth:`dusa_ignite.methods.footprint.Footprint.guide_work`.

        0 for methods without a guide; ``None`` for guides whose work is not counted: those of segmentation.
        """
        method, transformer = find_method(self.config.method.name), self.config.transformer
        if not method.guided:
            return 0.0
        footprint = method.footprint(self.config.method)
        if transformer is None or not any(footprint.predictions):
            return None
        return footprint.guide_work(learns=transformer.trainable)

    def num_scored(self, task: str) -> int:
        """Among how many classes a task's predictions were made."""
        present = self.made_of.get("scored_over", {}).get("present", {})
        return present.get(task, self.config.classifier.num_classes)


def read_run(folder: Path, *, label: str) -> FinishedRun:
    """Read a run.

    Raises:
        DataError: the folder holds no finished run, one without labels, or files that do not belong together or are
            not what a run writes.
    """
    if not is_finished(folder):
        raise DataError(f"{folder}: holds no finished run (no {files.SUMMARY})")
    for name in (files.CONFIG, files.RESULTS, files.PREDICTIONS, files.RUN):
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: missing; the run cannot be compared")
    check_format(folder)
    rows = {row["task"]: row for row in read_csv(folder / files.RESULTS)}
    config, score = load_config(folder / files.CONFIG), score_of(list(rows.values())[-1])
    path = folder / files.PREDICTIONS
    try:
        streams = read_predictions(path, score=score, num_classes=config.classifier.num_classes)
    except ValueError as error:
        raise DataError(f"{path}: not as a run writes it ({error}); run again") from error
    for task in rows.keys() - {"mean"}:
        if score.column not in rows[task] or task not in streams:
            raise DataError(f"{folder}: {task} has no labels; without them methods cannot be compared")
    return FinishedRun(
        label=label,
        folder=folder,
        config=config,
        score=score,
        rows=rows,
        streams=streams,
        peak_memory=json.loads((folder / files.SUMMARY).read_text(encoding="utf-8"))["peak_memory_bytes"],
        made_of=json.loads((folder / files.RUN).read_text(encoding="utf-8")),
    )


def read_predictions(path: Path, *, score: Score, num_classes: int) -> dict[str, Stream]:
    """A run's predictions of labelled images by task.

    Args:
        path: of what :mod:`dusa_ignite.handlers.prediction_log` or :mod:`dusa_ignite.handlers.pixel_predictions` wrote.
        score: which of the two, and what is to be scored.
        num_classes: that pixels are counted of, at least as many as the run's.

    Raises:
        ValueError: it is not what a run writes.
    """
    lines = _segmented(path, num_classes=num_classes) if score == MIOU else _classified(path)
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for task, index, added in lines:
        indices, sums = found.setdefault(task, ([], []))
        indices.append(index)
        sums.append(added)
    return {
        task: Stream(np.array(indices, dtype=np.int64), np.array(sums, dtype=np.int32), score)
        for task, (indices, sums) in found.items()
    }


def _classified(path: Path) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """Task, index, and (right, 1) of every labelled image."""
    for task, index, label, predicted in read_columns(path, ("task", "index", "label", "predicted")):
        if label not in ("-1", ""):
            yield task, int(index), (int(label == predicted), 1)


def _segmented(path: Path, *, num_classes: int) -> Iterator[tuple[str, int, np.ndarray]]:
    """Task, index, and flattened counts (3 C,) of every image with a labelled pixel."""
    for task, index, text in read_columns(path, ("task", "index", "counts")):
        if text:
            yield task, int(index), read_counts(text, num_classes=num_classes).ravel().astype(np.int32)


def differing_origins(runs: list[FinishedRun]) -> list[str]:
    """In what the runs differ besides their method and seed, a line each: commit, versions, data, hardware."""
    lines = []
    for key, meaning in {
        "git_commit": "commits of the code",
        "versions": "versions of packages",
        "hardware": "hardware, so that images/s and memory cannot be compared",
    }.items():
        kinds = {json.dumps(run.made_of.get(key), sort_keys=True) for run in runs}
        if len(kinds) > 1:
            lines.append(f"The runs were made with {len(kinds)} different {meaning}.")
    if len({run.made_of.get("weights_sha256", {}).get("classifier") for run in runs}) > 1:
        lines.append("The runs started from different weights of the classifier.")
    if len({run.config.method.restrict_to for run in runs}) > 1:
        lines.append("Only some methods were told which classes are present (method.restrict_to).")
    return lines
