"""Every image's prediction, a CSV line each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from io import StringIO
from itertools import repeat
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine

from dusa_ignite.distributed.collectives import gather_items
from dusa_ignite.engine import Output, TaskEvents, batch_of, output_of
from dusa_ignite.handlers.append import AppendedFile
from dusa_ignite.results.predictions import COLUMNS, pairs_text

TOP = 5
SMALLEST = 5e-5  # a probability below this would be written as 0.0000, and is left out


class PredictionLog(AppendedFile):
    """Appends a line per image under :data:`dusa_ignite.results.predictions.COLUMNS`, labelled or not.

    Lines come in the order of the global batch, whatever the number of processes. Attach it in every process, behind
    everything that changes predictions; the first process writes.

    Args:
        path: the file.
        class_names: in the order of the labels; empty = nobody knows them.
        path_of: names the image's file by its task and position, see
            :class:`dusa_ignite.results.image_paths.ImagePaths`; ``None`` = images are no files.

    Example:
        >>> PredictionLog(folder / "predictions.csv", class_names=("cat", "dog")).attach(engine)
    """

    def __init__(
        self,
        path: Path,
        *,
        class_names: Sequence[str] = (),
        path_of: Callable[[str, int], str] | None = None,
    ) -> None:
        super().__init__(path)
        self.class_names = class_names
        self.path_of = path_of

    def attach(self, engine: Engine) -> None:
        """Write after every update."""
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Write the update at hand."""
        batch = batch_of(engine)
        images = gather_items(numbers_of(batch["index"], output_of(engine)))
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if engine.state.iteration == 1:
            writer.writerow(COLUMNS)
        if idist.get_rank() == 0:
            writer.writerows(self._line(batch["task"], *numbers) for numbers in images)
        self.append(text.getvalue())

    def _line(
        self, task: str, index: int, label: int, predicted: int, confidence: float, by_source: Any, top: Any, asked: Any
    ) -> tuple[Any, ...]:
        """The cells of an image, from its numbers."""
        source, source_confidence = by_source or ("", None)
        return (
            task,
            index,
            self.path_of(task, index) if self.path_of else "",
            label,
            self._name(label),
            predicted,
            self._name(predicted),
            f"{confidence:.6f}",
            source,
            "" if source_confidence is None else f"{source_confidence:.6f}",
            pairs_text(*_likely(*top), digits=".4f"),
            pairs_text(*asked, digits=".5g") if asked else "",
        )

    def _name(self, label: int) -> str:
        return self.class_names[label] if 0 <= label < len(self.class_names) else ""


def numbers_of(index: torch.Tensor, output: Output) -> list[tuple[Any, ...]]:
    """Per image: position, label, class, its probability, the source model's two, the top five, and the guide's errors.

    The source model's are ``None`` where it has not been asked, the guide's where it has not.
    """
    probabilities = output["y_pred"].double().softmax(dim=1)
    confidence, predicted = probabilities.max(dim=1)
    values, classes = probabilities.sort(dim=1, descending=True, stable=True)  # equal ones in the order of the classes
    by_source: Any = repeat(None)
    if "source_y_pred" in output:
        most = output["source_y_pred"].double().softmax(dim=1).max(dim=1)
        by_source = zip(most.indices.tolist(), most.values.tolist(), strict=True)
    asked: Any = repeat(None)
    if "candidates" in output:
        asked = zip(output["candidates"].tolist(), output["candidate_errors"].double().tolist(), strict=True)
    labels: Any = output["y"]
    columns = [column.tolist() for column in (index, labels, predicted, confidence)]
    likely = zip(classes[:, :TOP].tolist(), values[:, :TOP].tolist(), strict=True)
    return list(zip(*columns, by_source, likely, asked, strict=False))  # what was not asked repeats without end


def _likely(classes: Sequence[int], probabilities: Sequence[float]) -> tuple[Sequence[int], Sequence[float]]:
    count = sum(probability >= SMALLEST for probability in probabilities)
    return classes[:count], probabilities[:count]
