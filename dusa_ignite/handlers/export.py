"""Keeps the adapted classifier of every task, in a form that timm loads."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from safetensors import SafetensorError

from dusa_ignite.engine import TaskEvents, batch_of
from dusa_ignite.handlers.onnx_export import write_onnx
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.metadata import save_described
from dusa_ignite.models.timm_folder import timm_config
from dusa_ignite.results.rows import write_json

logger = logging.getLogger(__name__)

BY_BATCH = (
    "export: the classifier's BatchNorm normalises with the statistics of each batch, which no file holds: a run that "
    "loads the .safetensors predicts as this one, timm and ONNX would take the source's statistics and predict "
    "otherwise, so nothing is written for them; with classifier.batch_norm=source there is"
)
WEIGHTS, ONNX = "model.safetensors", "model.onnx"  # timm looks for the first name


class ClassifierExport:
    """Writes ``<folder>/<task>.safetensors`` as each task completes; a ``/`` in the task's name becomes ``_``.

    One that cannot be written (full disk) is warned of and lost, the run goes on.
    Beside it, ``<folder>/<task>/`` is a folder of timm's with the same weights (a hard link, where there are such) and
    a ``config.json``: ``timm.create_model("local-dir:<folder>/<task>", pretrained=True)`` builds the model, and
    timm's own transform prepares its images. A classifier of the user's own, which timm does not know, has none; nor
    has one whose BatchNorm uses the batch's statistics, as timm would predict otherwise.
    The file holds the timm model's own weights in float32: ``timm.create_model(name, checkpoint_path=file)`` loads it.
    Its metadata holds the view and the names of the classes: a run whose ``classifier.checkpoint`` it is takes the one
    and checks the other. With ``onnx`` the folder also has ``model.onnx``
    (:func:`dusa_ignite.handlers.onnx_export.write_onnx`); what torch cannot export is warned of, too.

    Args:
        folder: made if missing.
        classifier: the one that predicts; its backbone is written.
        class_names: in the order of the outputs; empty = nobody knows them.
        onnx: whether to write ONNX files, too.

    Example:
        >>> ClassifierExport(folder / "export", classifier).attach(engine)
    """

    def __init__(
        self, folder: Path, classifier: Classifier, *, class_names: Sequence[str] = (), onnx: bool = False
    ) -> None:
        self.folder = folder
        self.classifier = classifier
        self.class_names = class_names
        self.onnx = onnx
        self.resized = False

    def attach(self, engine: Engine) -> None:
        """Write after every task."""
        if self.classifier.uses_batch_statistics:
            logger.warning(BY_BATCH)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.look)
        engine.add_event_handler(TaskEvents.TASK_COMPLETED, self.write)

    def look(self, engine: Engine) -> None:
        """Remember whether any image had to be resized."""
        size = self.classifier.image_size
        images = batch_of(engine).get("images", ())
        shapes = [images.shape] if isinstance(images, torch.Tensor) else [image.shape for image in images]
        self.resized |= len(images) > 0 and any(tuple(shape[-2:]) != (size, size) for shape in shapes)

    def write(self, engine: Engine) -> None:
        """Write the classifier as it is."""
        path = self.folder / f"{batch_of(engine)['task'].replace('/', '_')}.safetensors"
        weights = {name: _single(value) for name, value in self.classifier.backbone.state_dict().items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_described(weights, path, description=self.description())
            if not self.classifier.uses_batch_statistics:
                self._write_folder(path)
        except (OSError, SafetensorError) as error:  # safetensors has its own error for a full disk
            logger.warning("adapted weights not written, the run goes on: %s: %s", path, error)
            with suppress(OSError):
                path.with_name(path.name + ".part").unlink(missing_ok=True)
        if self.onnx and not self.classifier.uses_batch_statistics:
            self._write_onnx(path.with_suffix("") / ONNX)

    def _write_onnx(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_onnx(self.classifier, path)
        except Exception as error:  # torch's exporter raises almost any type
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            logger.warning("%s: not written, the run goes on: %s", path, reason)
            with suppress(OSError):
                path.with_name(path.name + ".part").unlink(missing_ok=True)

    def _write_folder(self, weights: Path) -> None:
        """What timm loads by itself: the weights under the name that it looks for, and its config."""
        classifier = self.classifier
        config = timm_config(
            classifier.backbone,
            view=classifier.source_view,
            class_names=self.class_names,
            model_args=classifier.model_args,
            resized=self.resized,
        )
        if config is None:
            return
        folder = weights.with_suffix("")
        folder.mkdir(exist_ok=True)
        part = folder / f"{WEIGHTS}.part"
        part.unlink(missing_ok=True)
        try:
            os.link(weights, part)
        except OSError:  # a file system without hard links
            shutil.copyfile(weights, part)
        os.replace(part, folder / WEIGHTS)
        write_json(folder / "config.json", config)

    def description(self) -> dict[str, Any]:
        """What is known of the weights, as plain JSON."""
        backbone = self.classifier.backbone
        known = {
            "architecture": (getattr(backbone, "pretrained_cfg", None) or {}).get("architecture"),
            "num_classes": int(backbone.num_classes),
            "view": self.classifier.source_view.values(),
            "class_names": list(self.class_names),
        }
        return {key: value for key, value in known.items() if value}


def _single(value: torch.Tensor) -> torch.Tensor:
    single = value.float() if value.dtype == torch.float64 else value
    return single.contiguous()  # whatever classifier.channels_last has made of it
