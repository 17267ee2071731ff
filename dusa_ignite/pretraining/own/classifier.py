"""A classifier for one's own classes: any timm model, trained with cross-entropy and the guide's augmentations."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.errors import ConfigError
from dusa_ignite.models.build import build_classifier
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.precision import autocast_dtype, model_dtype
from dusa_ignite.models.view import ViewOptions
from dusa_ignite.models.weights import weights_sha256
from dusa_ignite.pretraining.own import files
from dusa_ignite.pretraining.own.augment import augmented
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.pretraining.own.images import Split, ViewedImages, evenly
from dusa_ignite.pretraining.own.timm_writer import write_timm_folder
from dusa_ignite.utils.seeding import derive_seed

logger = logging.getLogger(__name__)

BATCH = 64  # images measured at once


class ClassifierSubject:
    """See :class:`dusa_ignite.pretraining.own.subject.Subject`.

    Args:
        config: the whole.
        split: the images.
    """

    def __init__(self, config: OwnConfig, split: Split) -> None:
        self.config = config
        self.classes, self.count = split.classes, len(split.training)
        self.dtype = model_dtype(config.training.precision)
        self.half = autocast_dtype(config.training.precision)
        torch.manual_seed(derive_seed(config.seed, "weights"))
        self.classifier = build_classifier(
            config.classifier.name,
            num_classes=len(self.classes),
            pretrained=config.classifier.pretrained,
            image_size=config.image_size,
            view=ViewOptions(crop_pct=1.0, crop_mode="center"),
            batch_norm="source",
            options=dict(config.classifier.options),
            new_head=True,
        )
        self.model: nn.Module = self.classifier.to(idist.device(), self.dtype)
        has_batch_norm = any(isinstance(module, _BatchNorm) for module in self.model.modules())
        if has_batch_norm and config.training.batch_size == 1:
            raise ConfigError(
                f"training.batch_size: {config.classifier.name} has BatchNorm, which needs two or more images at once"
            )
        if has_batch_norm and idist.get_world_size() > 1:
            if idist.device().type != "cuda":
                raise ConfigError(
                    f"classifier.name: {config.classifier.name} has BatchNorm, whose statistics over several processes "
                    "need GPUs; train in one process"
                )
            self.classifier.backbone = convert_sync_batchnorm(self.classifier.backbone)
        self.origins: dict[str, Any] = {
            "images": split.fingerprint(),
            "classes": list(self.classes),
            "initial_weights": weights_sha256(self.model),
        }
        memory = config.data.memory_gb * 2**30
        self.training = ViewedImages(split.training, view=self._view, size=config.image_size, kept_bytes=memory)
        rest = memory - self.training.kept_bytes
        self.held_out = ViewedImages(split.held_out, view=self._view, size=config.image_size, kept_bytes=rest)
        self.chosen = evenly(split.held_out.labels.tolist(), len(split.held_out))

    def _view(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier.crop(image)[0]

    def load(self, indices: list[int], generators: list[torch.Generator]) -> dict[str, Any]:
        """``images`` in [0, 1] and ``labels``."""
        pixels = self.training.read(indices) / 255
        pairs = zip(pixels, generators, strict=True)
        shown = [augmented(image, self.config.augment, generator) for image, generator in pairs]
        images = torch.stack(shown) if shown else pixels
        return {"images": images.to(self.dtype), "labels": self.training.labels[indices]}

    def losses(self, batch: dict[str, Any]) -> torch.Tensor:
        """(B,) cross-entropies."""
        with torch.autocast(idist.device().type, dtype=self.half, enabled=self.half is not None):
            logits = self.model(batch["images"])
        smoothing = self.config.classifier.label_smoothing
        return F.cross_entropy(logits.to(self.dtype), batch["labels"], label_smoothing=smoothing, reduction="none")

    @torch.no_grad()
    def measure(self, average: nn.Module, update: int, folder: Path) -> dict[str, Any]:
        """Accuracy and cross-entropy on all held-out images."""
        device, mine = idist.device(), self.chosen[idist.get_rank() :: idist.get_world_size()]
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        for start in range(0, len(mine), BATCH):
            part = mine[start : start + BATCH]
            logits = average((self.held_out.read(part) / 255).to(device, self.dtype))
            labels = self.held_out.labels[part].to(device)
            sums[0] += (logits.argmax(dim=1) == labels).sum()
            sums[1] += F.cross_entropy(logits, labels, reduction="sum")
        right, loss = global_sums(sums)
        count = len(self.chosen)
        logger.info("update %d: accuracy %.1f %% of %d held-out images", update, 100 * right / count, count)
        return {"accuracy": right / count, "loss": loss / count, "images": count, "chance": 1 / len(self.classes)}

    def pictures(self, update: int, folder: Path) -> dict[str, Path]:
        """None."""
        return {}

    def write(self, average: nn.Module, measured: dict[str, Any], folder: Path) -> None:
        """A folder that timm loads as ``local-dir:<folder>``, with view and class names."""
        assert isinstance(average, Classifier)
        options = self.config.classifier.options
        write_timm_folder(average, folder / files.CLASSIFIER, classes=self.classes, options=options)
        where = (folder / files.CLASSIFIER).absolute()
        logger.info("a run's classifier.name: local-dir:%s, with classifier.num_classes: %d", where, len(self.classes))
