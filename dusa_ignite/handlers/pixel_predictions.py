"""Every image's predicted label map, a PNG file each, and a CSV line with what the image adds to the scores."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from dusa_ignite.distributed.collectives import gather_items
from dusa_ignite.engine import TaskEvents, batch_of, output_of
from dusa_ignite.handlers.append import AppendedFile
from dusa_ignite.results.pixel_predictions import COLUMNS, counts_text
from dusa_ignite.segmentation.counts import class_counts, confusion_counts
from dusa_ignite.segmentation.resize import predicted_labels

logger = logging.getLogger(__name__)


class Predicted(NamedTuple):
    """What is written of an image."""

    position: int  # in the data set
    labels: np.ndarray  # (H, W) uint8, at the size of its label map
    confidence: float
    agreement: float | None
    counts: np.ndarray  # (3, C)
    source_counts: np.ndarray | None


class PixelPredictionLog(AppendedFile):
    """Appends a line per image under :data:`dusa_ignite.results.pixel_predictions.COLUMNS`, labelled or not, and writes
    ``<maps>/<task>/<index>.png``: the class of every pixel, at the size of the image's label map.

    Lines come in the order of the global batch, whatever the number of processes. Attach it in every process, behind
    everything that changes predictions; the first process writes. A map that cannot be written (full disk) is warned
    of, the run goes on.

    Args:
        path: the CSV file.
        maps: folder of the label maps, made if missing; a ``/`` in a task's name becomes ``_``.
        path_of: names the image's file by its task and position, see
            :class:`dusa_ignite.results.image_paths.ImagePaths`; ``None`` = images are no files.

    Example:
        >>> PixelPredictionLog(folder / "predictions.csv", maps=folder / "predictions").attach(engine)
    """

    def __init__(self, path: Path, *, maps: Path, path_of: Callable[[str, int], str] | None = None) -> None:
        super().__init__(path)
        self.maps = maps
        self.path_of = path_of

    def attach(self, engine: Engine) -> None:
        """Write after every update."""
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Write the update at hand."""
        task = batch_of(engine)["task"]
        images = gather_items(predictions_of(batch_of(engine)["index"], output_of(engine)))
        if idist.get_rank() > 0:
            return
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if engine.state.iteration == 1:
            writer.writerow(COLUMNS)
        for predicted in images:
            place = Path(task.replace("/", "_")) / f"{predicted.position:06d}.png"
            self._write_map(self.maps / place, predicted.labels)
            writer.writerow(self._line(task, place, predicted))
        self.append(text.getvalue())

    def _line(self, task: str, place: Path, predicted: Predicted) -> tuple[Any, ...]:
        return (
            task,
            predicted.position,
            self.path_of(task, predicted.position) if self.path_of else "",
            (self.maps.name / place).as_posix(),
            f"{predicted.confidence:.6f}",
            "" if predicted.agreement is None else f"{predicted.agreement:.6f}",
            counts_text(predicted.counts),
            "" if predicted.source_counts is None else counts_text(predicted.source_counts),
        )

    def _write_map(self, path: Path, labels: np.ndarray) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(path)
        except OSError as error:
            logger.warning("%s: not written, the run goes on: %s", path, error.strerror or error)


def predictions_of(index: torch.Tensor, output: Any) -> list[Predicted]:
    """What is written of each image of an output; the source model's numbers are ``None`` where it was not asked."""
    num_classes = output["y_pred"].shape[1]
    found = []
    for number, (position, labels) in enumerate(zip(index.tolist(), output["y"], strict=True)):
        size = (labels.shape[0], labels.shape[1])
        logits = output["y_pred"][number]
        predicted = predicted_labels(logits, size=size)
        agreement, source_counts = None, None
        if "source_y_pred" in output:
            by_source = predicted_labels(output["source_y_pred"][number], size=size)
            agreement = (predicted == by_source).double().mean().item()
            source_counts = _counts(by_source, labels, num_classes)
        found.append(
            Predicted(
                position=position,
                labels=predicted.to(torch.uint8).cpu().numpy(),
                confidence=logits.double().softmax(dim=0).amax(dim=0).mean().item(),
                agreement=agreement,
                counts=_counts(predicted, labels, num_classes),
                source_counts=source_counts,
            )
        )
    return found


def _counts(predicted: torch.Tensor, labels: torch.Tensor, num_classes: int) -> np.ndarray:
    return class_counts(confusion_counts(predicted, labels, num_classes=num_classes)).cpu().numpy()
