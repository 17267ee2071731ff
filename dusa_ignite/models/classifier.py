"""The classifier that is adapted: any timm model, with its own crop and normalisation inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import timm
import torch
from timm import layers
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from dusa_ignite.errors import CheckpointError, ConfigError, DataError
from dusa_ignite.models.views import Images, classifier_view
from dusa_ignite.models.weights import load_strict, load_weights
from dusa_ignite.utils.quiet import quiet

_TIMM_RMS_NORMS = ("RmsNorm", "RmsNormFp32", "RmsNorm2d", "RmsNorm2dFp32")
_TIMM_SIMPLE_NORMS = ("SimpleNorm", "SimpleNormFp32", "SimpleNorm2d", "SimpleNorm2dFp32")
NORM_LAYERS: tuple[type[nn.Module], ...] = (
    _BatchNorm,  # timm's BatchNormAct2d is a subclass
    nn.LayerNorm,  # timm's LayerNorm2d too
    nn.GroupNorm,  # timm's GroupNorm1 too
    _InstanceNorm,
    nn.RMSNorm,
    *(getattr(layers, name) for name in _TIMM_RMS_NORMS + _TIMM_SIMPLE_NORMS if hasattr(layers, name)),
)


class Classifier(nn.Module):
    """A timm model that takes RGB images in [0, 1] of any size and returns logits.

    Args:
        backbone: the timm model.
        image_size: side of the square the backbone sees; ``None`` = its own.
        batch_norm: BatchNorm layers normalise with the statistics of the batch (``"batch"``) or with the stored source
            statistics (``"source"``). The stored ones are kept untouched in either case.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Module, *, image_size: int | None = None, batch_norm: str = "batch") -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.num_classes = int(self.backbone.num_classes)  # type: ignore[arg-type]
        own = timm.data.resolve_model_data_config(backbone)
        self.image_size = image_size or own["input_size"][-1]
        self.crop_pct = own["crop_pct"]
        self.interpolation = own["interpolation"]
        self.squash = own["crop_mode"] == "squash"
        if own["crop_mode"] == "border":
            raise CheckpointError("classifier.name: timm pads this model's images to a square, which is not supported")
        self.batch_norm = batch_norm
        self.register_buffer("mean", torch.tensor(own["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(own["std"]).view(1, 3, 1, 1), persistent=False)
        self.train(False)

    def crop(self, images: Images) -> torch.Tensor:
        """(B, 3, S, S) in [0, 1]: the square that the backbone sees; cropped again, it stays as it is."""
        if len(images) == 0:
            return self.mean.new_empty(0, 3, self.image_size, self.image_size)
        return classifier_view(
            images,
            size=self.image_size,
            crop_pct=self.crop_pct,
            interpolation=self.interpolation,
            squash=self.squash,
        )

    def view(self, images: Images) -> torch.Tensor:
        """(B, 3, S, S): the crop, normalised with the backbone's mean and standard deviation."""
        return (self.crop(images) - self.mean) / self.std

    def forward(self, images: Images) -> torch.Tensor:
        """Logits (B, num_classes) of float RGB images in [0, 1]: (B, 3, H, W), or a list of (3, H, W)."""
        if len(images) == 1 and self.uses_batch_statistics:
            return self._single(images)
        return self.backbone(self.view(images))

    def _single(self, images: Images) -> torch.Tensor:
        try:
            return self.backbone(self.view(images))
        except ValueError as error:  # where the feature map has shrunk to one pixel
            raise DataError(
                f"a batch of one image has no statistics for BatchNorm ({error}); choose data.batch_size so that no "
                f"batch has one image, or set classifier.batch_norm=source"
            ) from error

    def forward_features(self, images: Images) -> torch.Tensor:
        """The backbone's ``forward_features``: its last feature map or tokens, before pooling."""
        return self.backbone.forward_features(self.view(images))

    def forward_with_features(self, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, num_classes) and the pooled features before the last layer (B, D)."""
        maps = self.forward_features(images)
        return self.backbone.forward_head(maps), self.backbone.forward_head(maps, pre_logits=True)

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether an image's logits depend on the rest of its batch (BatchNorm with the batch's statistics)."""
        return self.batch_norm == "batch" and any(True for _ in self._batch_norm_layers())

    def train(self, mode: bool = True) -> Classifier:
        """As usual, but BatchNorm layers that use the batch's statistics keep doing so in eval mode."""
        super().train(mode)
        if self.batch_norm == "batch":
            for layer in self._batch_norm_layers():
                layer.training = True
                layer.track_running_stats = False  # neither reads nor updates the stored statistics
        return self

    def _batch_norm_layers(self) -> Iterator[_BatchNorm]:
        return (module for module in self.backbone.modules() if isinstance(module, _BatchNorm))


def norm_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The affine parameters of all normalisation layers, by their names in ``model``; the layer's class decides."""
    return {
        f"{name}.{own}" if name else own: parameter
        for name, module in model.named_modules()
        if isinstance(module, NORM_LAYERS)
        for own, parameter in module.named_parameters(recurse=False)
    }


def build_classifier(
    name: str,
    *,
    num_classes: int = 1000,
    pretrained: bool = False,
    checkpoint: str | None = None,
    trainable: str = "all",
    image_size: int | None = None,
    batch_norm: str = "batch",
    options: dict[str, Any] | None = None,
) -> Classifier:
    """Build any timm classifier, in eval mode and float32.

    Args:
        name: timm name, pinned to its weights (``convnext_large.fb_in1k``).
        num_classes: outputs.
        pretrained: load the weights that timm has for this name (from the local cache or the hub), unless a
            checkpoint is given.
        checkpoint: weights file instead; see :func:`dusa_ignite.models.weights.load_weights`.
        trainable: ``all`` parameters, those of ``norm`` layers, or ``none``.
        image_size: see :class:`Classifier`; a ``checkpoint`` must be of that size.
        batch_norm: see :class:`Classifier`.
        options: further keyword arguments of ``timm.create_model``.

    Raises:
        CheckpointError: timm does not know the name or cannot build it, or the weights are missing or do not fit.
        ConfigError: the model cannot take RGB images of this size.
        ValueError: unknown ``trainable``.
    """
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:3]
        raise CheckpointError(
            f"classifier.name: timm has no model {name!r}" + (f"; near: {', '.join(near)}" if near else "")
        )
    pretrained = pretrained and checkpoint is None
    try:
        if pretrained:
            _check_pretrained_classes(name, num_classes)
        with quiet():
            backbone = timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **(options or {}))
    except CheckpointError:
        raise
    except Exception as error:  # the errors of timm, its models and the hub share no base class
        raise CheckpointError(
            f"classifier.pretrained: no weights for {name} ({_first_line(error)}); offline, fetch them elsewhere and "
            f"give the file as classifier.checkpoint"
            if pretrained
            else f"classifier.name: timm cannot build {name} ({_first_line(error)}); check the name's tag and "
            f"classifier.options"
        ) from error
    if image_size is not None and hasattr(backbone, "set_input_size"):
        backbone.set_input_size(image_size)  # models of a fixed size; interpolates the position embedding
    if checkpoint is not None:
        weights = load_weights(checkpoint, key="classifier.checkpoint", embedded="classifier")
        load_strict(backbone, weights, source=f"classifier.checkpoint: {checkpoint}")
    classifier = Classifier(backbone, image_size=image_size, batch_norm=batch_norm)
    _check_input(classifier, name)
    set_trainable(classifier, trainable)
    return classifier


def _check_input(classifier: Classifier, name: str) -> None:
    """Two black images go through: a size or an option that does not work shows before a run has begun."""
    size = classifier.image_size
    try:
        with torch.no_grad():
            classifier(torch.zeros(2, 3, size, size))
    except Exception as error:  # of any layer
        raise ConfigError(
            f"classifier.image_size: {name} cannot take RGB images of {size} x {size} pixels ({_first_line(error)}); "
            f"choose another size, or other classifier.options"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_pretrained_classes(name: str, num_classes: int) -> None:
    """timm would quietly replace a head of another size by a random one."""
    known = timm.get_pretrained_cfg(name)
    if known is not None and known.num_classes != num_classes:
        raise CheckpointError(
            f"classifier.pretrained: timm's weights for {name} have {known.num_classes} classes, "
            f"classifier.num_classes is {num_classes}; give weights for these classes as classifier.checkpoint"
        )


def set_trainable(classifier: nn.Module, trainable: str) -> None:
    """Let ``all`` parameters, those of ``norm`` layers, or ``none`` receive gradients.

    Raises:
        ConfigError: ``norm``, but there is no such layer.
        ValueError: another word.
    """
    if trainable not in ("all", "norm", "none"):
        raise ValueError(f"trainable must be all, norm or none, not {trainable!r}")
    classifier.requires_grad_(trainable == "all")
    if trainable == "norm":
        norms = norm_parameters(classifier)
        if not norms:
            raise ConfigError("classifier.trainable: norm, but the model has no norm layer with affine parameters")
        for parameter in norms.values():
            parameter.requires_grad_(True)
