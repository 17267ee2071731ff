"""Every image's prediction, a CSV line each."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine
from torch import distributed as dist

from dusa_ignite.engine import TaskEvents, batch_of, output_of
from dusa_ignite.handlers.append import AppendedFile

COLUMNS = ("task", "index", "label", "predicted", "confidence")


class PredictionLog(AppendedFile):
    """Appends task, position in the task's data set, label (-1 = unknown), predicted class and its probability.

    Lines come in the order of the global batch, whatever the number of processes. Attach it in every process; the first
    one writes.

    Args:
        path: the file.

    Example:
        >>> PredictionLog(folder / "predictions.csv").attach(engine)
    """

    def attach(self, engine: Engine) -> None:
        """Write after every update."""
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Write the update at hand."""
        batch, output = batch_of(engine), output_of(engine)
        confidence, predicted = output["y_pred"].double().softmax(dim=1).max(dim=1)
        columns = [column.tolist() for column in (batch["index"], output["y"], predicted, confidence)]
        shares: list[Any] = [columns]
        if idist.get_world_size() > 1:
            shares = [None] * idist.get_world_size()
            dist.all_gather_object(shares, columns)
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if engine.state.iteration == 1:
            writer.writerow(COLUMNS)
        for share in shares:
            for *line, certainty in zip(*share, strict=True):
                writer.writerow((batch["task"], *line, f"{certainty:.6f}"))
        self.append(text.getvalue())
