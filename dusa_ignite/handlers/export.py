"""Keeps the adapted classifier of every task, in a form that timm loads."""

from __future__ import annotations

from pathlib import Path

import torch
from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents, batch_of
from dusa_ignite.models.checkpoints import save_weights
from dusa_ignite.models.classifier import Classifier


class ClassifierExport:
    """Writes ``<folder>/<task>.safetensors`` as each task completes; a ``/`` in the task's name becomes ``_``.

    The file holds the timm model's own weights in float32: ``timm.create_model(name, checkpoint_path=file)`` loads it.

    Args:
        folder: made if missing.
        classifier: its backbone is written.

    Example:
        >>> ClassifierExport(folder / "export", classifier).attach(engine)
    """

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        self.folder = folder
        self.classifier = classifier

    def attach(self, engine: Engine) -> None:
        """Write after every task."""
        engine.add_event_handler(TaskEvents.TASK_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Write the classifier as it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{batch_of(engine)['task'].replace('/', '_')}.safetensors"
        weights = {name: _single(value) for name, value in self.classifier.backbone.state_dict().items()}
        save_weights(weights, path)


def _single(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.dtype == torch.float64 else value
