"""What a report shows of a run's predictions, gathered in one pass over predictions.csv."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dusa_ignite.results.pixel_sums import PixelSums
from dusa_ignite.results.predictions import read_columns
from dusa_ignite.results.sample import Sample

READ = (
    "task", "index", "path", "label", "predicted", "confidence", "source_predicted", "source_confidence", "guide",
)  # fmt: skip
POINTS = 40  # of a task's curves, at most
FEWEST = 10  # points of a task with fewer than 500 images
LENGTH = 50  # images of a point otherwise, at least: shares of fewer jump about
SHOWN = 40  # changed images that are kept


class Changed(NamedTuple):
    """An image whose class is not the one that the source model predicts; columns as in predictions.csv, whose
    ``index`` is ``position`` here."""

    task: str
    position: int
    path: str
    label: int
    predicted: int
    confidence: float
    source_predicted: int
    source_confidence: float
    guide: str


class Point(NamedTuple):
    """A stretch of a task's stream; shares are in [0, 1].

    Attributes:
        images: of the task, up to the end of the stretch.
        confidence: mean probability of the predicted classes.
        largest: share of the class that is predicted most often; NaN where every pixel has one.
        agreement: share predicted as by the source model; NaN where it has not been asked.
        score, source_score: top-1, or mIoU, of the task's images up to here; NaN without labels.
    """

    images: int
    confidence: float
    largest: float
    agreement: float
    score: float
    source_score: float


@dataclass
class TaskDigest:
    """A task's predictions.

    Attributes:
        images: of the task.
        asked: how many of them the source model has predicted, too.
        points: along the stream.
    """

    images: int = 0
    asked: int = 0
    points: list[Point] = field(default_factory=list)


@dataclass
class Counts:
    """All tasks' predictions together.

    Attributes:
        images: how many there are.
        asked: how many of them the source model has predicted, too.
        predicted: how often each class was predicted.
        by_source: likewise, by the source model.
        pairs: how often (label, predicted) came, of labelled images.
        source_hits: of labelled images, how many the source model got right, by label.
    """

    images: int = 0
    asked: int = 0
    predicted: Counter[int] = field(default_factory=Counter)
    by_source: Counter[int] = field(default_factory=Counter)
    pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    source_hits: Counter[int] = field(default_factory=Counter)


class Digest(NamedTuple):
    """A run's predictions.

    Attributes:
        tasks: by name, in the order of the run.
        whole: of all tasks together.
        changed: up to :data:`SHOWN` images whose class has changed, drawn by a hash of task and position: a fair
            sample, and the same ones in every run in which they have changed. In the order of the run.
        num_changed: of how many they were drawn.
        pixels: where the run segments; it has no images that change their class.
    """

    tasks: dict[str, TaskDigest]
    whole: Counts
    changed: list[Changed]
    num_changed: int
    pixels: PixelSums | None = None


def digest(path: Path, *, images: Mapping[str, int]) -> Digest:
    """Read a predictions.csv.

    Args:
        path: of the file.
        images: by task, how many there are. Tasks that are not named are left out.

    Raises:
        ValueError: it is not what a run writes.
        OSError: it cannot be read.
    """
    stream, sample = _Stream(images), Sample[Changed](SHOWN)
    for line in _typed(read_columns(path, READ)):
        if line.task not in images:
            continue
        stream.add(line)
        if line.source_predicted not in (-1, line.predicted):
            sample.add(line.task, line.position, line)
    stream.close()
    return Digest(stream.tasks, stream.whole, sample.items, sample.count)


def _typed(lines: Iterable[tuple[str, ...]]) -> Iterable[Changed]:
    for task, index, path, label, predicted, confidence, source, source_confidence, guide in lines:
        yield Changed(
            task,
            int(index),
            path,
            int(label),
            int(predicted),
            float(confidence),
            int(source or -1),
            float(source_confidence or math.nan),
            guide,
        )


def number_of_points(images: int) -> int:
    """Of a task's curves: all are of nearly equally many images."""
    return max(1, min(POINTS, max(images // LENGTH, min(FEWEST, images))))


class _Stream:
    """Counts lines, and makes a point of every so many of a task's."""

    def __init__(self, images: Mapping[str, int]) -> None:
        self.images = images
        self.tasks: dict[str, TaskDigest] = {}
        self.whole = Counts()
        self.name = ""
        self._begin()

    def _begin(self) -> None:
        self.count = self.agreed = 0
        self.confidence = 0.0
        self.classes: Counter[int] = Counter()

    def _begin_task(self, name: str) -> None:
        self.close()
        self.name = name
        self.hits = self.source_hits = self.labelled = 0
        self.task = self.tasks.setdefault(name, TaskDigest())
        self.stretch = self.images[name] / number_of_points(self.images[name])

    def add(self, line: Changed) -> None:
        """Count a line."""
        if line.task != self.name:
            self._begin_task(line.task)
        task, whole = self.task, self.whole
        for counts in (task, whole):
            counts.images += 1
            counts.asked += line.source_predicted >= 0
        whole.predicted[line.predicted] += 1
        self.count += 1
        self.confidence += line.confidence
        self.classes[line.predicted] += 1
        if line.source_predicted >= 0:
            whole.by_source[line.source_predicted] += 1
            self.agreed += line.source_predicted == line.predicted
        if line.label >= 0:
            self._add_labelled(line)
        if task.images >= (len(task.points) + 1) * self.stretch:
            self.close()

    def _add_labelled(self, line: Changed) -> None:
        self.whole.pairs[line.label, line.predicted] += 1
        self.labelled += 1
        self.hits += line.label == line.predicted
        if line.source_predicted == line.label:
            self.whole.source_hits[line.label] += 1
            self.source_hits += 1

    def close(self) -> None:
        """Make a point of the lines since the last one, if there are any."""
        if not self.count:
            return
        labelled, known = self.labelled > 0, self.task.asked > 0
        self.task.points.append(
            Point(
                images=self.task.images,
                confidence=self.confidence / self.count,
                largest=max(self.classes.values()) / self.count,
                agreement=self.agreed / self.count if known else math.nan,
                score=self.hits / self.labelled if labelled else math.nan,
                source_score=self.source_hits / self.labelled if labelled and known else math.nan,
            )
        )
        self._begin()
