"""What a report shows of a segmentation run's predictions, gathered in one pass over predictions.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dusa_ignite.results.digest import Counts, Digest, Point, TaskDigest, number_of_points
from dusa_ignite.results.pixel_predictions import read_counts
from dusa_ignite.results.pixel_sums import PixelSums, Shown
from dusa_ignite.results.predictions import read_columns
from dusa_ignite.results.sample import Sample
from dusa_ignite.segmentation.scores import mean_iou

READ = ("task", "index", "path", "map", "confidence", "source_agreement", "counts", "source_counts")
SHOWN = 12  # images that are kept


def digest_pixels(path: Path, *, images: Mapping[str, int], num_classes: int) -> Digest:
    """Read a predictions.csv of segmentation, see :mod:`dusa_ignite.results.pixel_predictions`.

    Args:
        path: of the file.
        images: by task, how many there are. Tasks that are not named are left out.
        num_classes: C.

    Raises:
        ValueError: it is not what a run writes.
        OSError: it cannot be read.
    """
    tasks = {name: _Stretches(count, num_classes) for name, count in images.items()}
    whole, sample = Counts(), Sample[Shown](SHOWN)
    for task, index, file, place, confidence, agreement, counts, by_source in read_columns(path, READ):
        if task not in tasks:
            continue
        same = float(agreement) if agreement else math.nan
        whole.images += 1
        whole.asked += bool(agreement)
        both = np.stack([read_counts(text, num_classes=num_classes) for text in (counts, by_source)])
        tasks[task].add(float(confidence), same, both)
        sample.add(task, int(index), Shown(task, int(index), file, place, same))
    sums = sum((stretches.sums for stretches in tasks.values()), np.zeros((2, 3, num_classes), dtype=np.int64))
    found = {name: stretches.finished() for name, stretches in tasks.items() if stretches.task.images}
    return Digest(found, whole, [], 0, PixelSums(sums[0], sums[1], sample.items))


class _Stretches:
    """A task's points, each of so many images; the score is that of all its images up to there."""

    def __init__(self, images: int, num_classes: int) -> None:
        self.task = TaskDigest()
        self.length = images / number_of_points(images)
        self.sums = np.zeros((2, 3, num_classes), dtype=np.int64)  # adapted, source
        self.confidences: list[float] = []
        self.agreements: list[float] = []

    def add(self, confidence: float, agreement: float, counts: np.ndarray) -> None:
        """One more image."""
        self.task.images += 1
        self.task.asked += not math.isnan(agreement)
        self.sums += counts
        self.confidences.append(confidence)
        self.agreements.append(agreement)
        if self.task.images >= (len(self.task.points) + 1) * self.length:
            self._close()

    def finished(self) -> TaskDigest:
        """With a point of the images since the last one."""
        if self.confidences:
            self._close()
        return self.task

    def _close(self) -> None:
        labelled = self.sums[0, 1].any()
        asked = labelled and self.task.asked > 0
        self.task.points.append(
            Point(
                images=self.task.images,
                confidence=float(np.mean(self.confidences)),
                largest=math.nan,
                agreement=float(np.mean(self.agreements)),
                score=float(mean_iou(self.sums[0])) if labelled else math.nan,
                source_score=float(mean_iou(self.sums[1])) if asked else math.nan,
            )
        )
        self.confidences, self.agreements = [], []
