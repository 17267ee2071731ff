"""Keeps the adapted classifier of every task, in a form that timm loads."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import torch
from ignite.engine import Engine
from safetensors import SafetensorError

from dusa_ignite.engine import TaskEvents, batch_of
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.weights import save_weights

logger = logging.getLogger(__name__)


class ClassifierExport:
    """Writes ``<folder>/<task>.safetensors`` as each task completes; a ``/`` in the task's name becomes ``_``.

    One that cannot be written (full disk) is warned of and lost, the run goes on.
    The file holds the timm model's own weights in float32: ``timm.create_model(name, checkpoint_path=file)`` loads it.

    Args:
        folder: made if missing.
        classifier: the one that predicts; its backbone is written.

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
        path = self.folder / f"{batch_of(engine)['task'].replace('/', '_')}.safetensors"
        weights = {name: _single(value) for name, value in self.classifier.backbone.state_dict().items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_weights(weights, path)
        except (OSError, SafetensorError) as error:  # safetensors has its own error for a full disk
            logger.warning("adapted weights not written, the run goes on: %s: %s", path, error)
            with suppress(OSError):
                path.with_name(path.name + ".part").unlink(missing_ok=True)


def _single(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.dtype == torch.float64 else value
