"""Building a classifier: any timm model, or one of the user's own."""

from __future__ import annotations

from typing import Any, Literal

import timm
import torch
from pydantic import Field, JsonValue, ValidationInfo, field_validator
from torch import nn

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.metadata import read_metadata
from dusa_ignite.models.norms import set_trainable
from dusa_ignite.models.own_backbone import own_backbone
from dusa_ignite.models.timm_folder import check_options, is_timm_folder, read_timm_folder
from dusa_ignite.models.view import ViewOptions, resolve_view
from dusa_ignite.models.weights import load_strict, load_weights
from dusa_ignite.models.weights.foreign_names import check_library
from dusa_ignite.utils.own_parts import is_reference
from dusa_ignite.utils.quiet import quiet
from dusa_ignite.utils.section import PathText, Section


class ClassifierOptions(Section):
    """The model that is adapted. With neither ``pretrained`` nor ``checkpoint`` its weights are random."""

    name: PathText = Field(
        min_length=1,
        description="timm name, pinned to its weights; local-dir:<folder> or hf-hub:<repo>; or your factory, "
        "path/to/file.py:build",
    )
    pretrained: bool = Field(
        default=True, description="load timm's weights for this name, unless a checkpoint is given"
    )
    checkpoint: PathText | None = Field(
        default=None,
        min_length=1,
        description="weights file or folder, hf-hub:<repo>, hub:<repo>:<file>, or embedded (the demo's); or null",
    )
    num_classes: int = Field(default=1000, ge=2, le=1_000_000, description="outputs, >= 2")
    trainable: Literal["all", "norm", "none"] = Field(
        default="all", description="which parameters learn: all, those of the normalisation layers, none"
    )
    image_size: int | None = Field(
        default=None,
        ge=1,
        le=16384,
        description="pixels, side of its input, >= 1: short for view.image_size; null = that one",
    )
    view: ViewOptions = Field(default=ViewOptions(), description="what is done to an image before the model sees it")
    batch_norm: Literal["batch", "source"] = Field(
        default="batch", description="BatchNorm normalises with the batch's or with the stored source statistics"
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="what it computes in: float32 = as run.precision says of all but the guide; bfloat16 or float16 = "
        "autocast, parameters and logits in float32",
    )
    channels_last: bool = Field(
        default=False, description="lay out images and convolutions' weights channel by channel of a pixel"
    )
    options: dict[str, JsonValue] = Field(
        default={}, description="further keyword arguments of timm.create_model, or of your factory"
    )

    @field_validator("view", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        """``view: test`` is short for ``view: {preset: test}``."""
        return {"preset": value} if isinstance(value, str) else value

    @field_validator("view")
    @classmethod
    def _one_size(cls, view: ViewOptions, info: ValidationInfo) -> ViewOptions:
        size = info.data.get("image_size")
        if size is not None and view.image_size not in (None, size):
            raise ValueError(
                f"image_size {view.image_size} contradicts classifier.image_size {size}, short for it; give one"
            )
        return view


def build_classifier(
    name: str,
    *,
    num_classes: int = 1000,
    pretrained: bool = False,
    checkpoint: str | None = None,
    trainable: str = "all",
    image_size: int | None = None,
    view: ViewOptions | None = None,
    batch_norm: str = "batch",
    options: dict[str, Any] | None = None,
    load: bool = True,
    new_head: bool = False,
) -> Classifier:
    """Build any timm classifier, or one of your own, in eval mode and float32.

    Args:
        name: timm name, pinned to its weights (``convnext_large.fb_in1k``); a folder or repository with weights and a
            ``config.json`` as timm writes it, ``local-dir:<folder>`` or ``hf-hub:<id>``; or a reference to a factory,
            ``path/to/file.py:build``, which is called with ``options`` and returns a module with logits (B, C) of
            normalised RGB images, its own weights loaded, and with timm's ``pretrained_cfg`` (``input_size``, ``mean``,
            ``std``, perhaps ``crop_pct`` and ``interpolation``).
        num_classes: outputs.
        pretrained: load the weights that timm has for this name (from the local cache or the hub), unless a
            checkpoint is given.
        checkpoint: weights instead; see :func:`dusa_ignite.models.weights.load_weights`.
        trainable: ``all`` parameters, those of ``norm`` layers, or ``none``.
        image_size: side of its input in pixels, short for ``view.image_size``; a ``checkpoint`` must be of that size.
        view: what is done to an image before; what it leaves open the checkpoint's metadata says, else timm, see
            :func:`dusa_ignite.models.view.resolve_view`.
        batch_norm: see :class:`Classifier`.
        options: further keyword arguments of ``timm.create_model`` or of the factory.
        load: ``False`` = neither load a checkpoint nor try the model, for shapes alone.
        new_head: take timm's weights also where they are for other classes, but for the last layer, which is random.

    Raises:
        CheckpointError: timm does not know the name or cannot build it, or the weights are missing or do not fit.
        ConfigError: the model cannot take RGB images of this size, or the factory does not do what it should.
        ValueError: unknown ``trainable``.
    """
    backbone: Any
    extras = dict(options or {})
    if is_reference(name):
        backbone, _ = own_backbone(name, num_classes=num_classes, options=options or {})
    elif is_timm_folder(name):
        check_options(options or {}, key="classifier.options")
        folder = read_timm_folder(name, num_classes=num_classes)
        extras = {**folder.model_args, **extras}
        of_folder = {"pretrained_cfg": folder.pretrained_cfg, **extras}
        backbone = _timm_backbone(folder.architecture, num_classes=num_classes, pretrained=False, options=of_folder)
        checkpoint = checkpoint or (name if pretrained else None)
    else:
        check_options(options or {}, key="classifier.options")
        pretrained = pretrained and checkpoint is None
        backbone = _timm_backbone(
            name, num_classes=num_classes, pretrained=pretrained, options=options or {}, new_head=new_head
        )
    said = read_metadata(checkpoint, key="classifier.checkpoint", embedded="classifier").views if checkpoint else {}
    seen = resolve_view(backbone, options=view, image_size=image_size, metadata=said, name=name)
    own_size = timm.data.resolve_model_data_config(backbone)["input_size"][-1]
    if (image_size is not None or seen.image_size != own_size) and hasattr(backbone, "set_input_size"):
        backbone.set_input_size(seen.image_size)  # models of a fixed size; interpolates the position embedding
        extras["img_size"] = seen.image_size
    if checkpoint is not None and load:
        key = "classifier.name" if checkpoint == name else "classifier.checkpoint"
        weights = load_weights(checkpoint, key=key, embedded="classifier", wanted=backbone.state_dict())
        check_library(weights, backbone.state_dict(), where=f"{key}: {checkpoint}")
        load_strict(backbone, weights, source=f"{key}: {checkpoint}")
    classifier = Classifier(backbone, view=seen, batch_norm=batch_norm, model_args=extras)
    if load:
        _check_input(classifier, name)
    set_trainable(classifier, trainable)
    return classifier


def _timm_backbone(
    name: str, *, num_classes: int, pretrained: bool, options: dict[str, Any], new_head: bool = False
) -> nn.Module:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:3]
        raise CheckpointError(
            f"classifier.name: timm has no model {name!r}" + (f"; near: {', '.join(near)}" if near else "")
        )
    try:
        if pretrained and not new_head:
            _check_pretrained_classes(name, num_classes)
        with quiet():
            return timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **options)
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


def _check_input(classifier: Classifier, name: str) -> None:
    """Two black images go through: a size or an option that does not work shows before a run has begun."""
    size = classifier.image_size
    try:
        with torch.no_grad():
            logits = classifier(torch.zeros(2, 3, size, size))
    except Exception as error:  # of any layer
        raise ConfigError(
            f"classifier.image_size: {name} cannot take RGB images of {size} x {size} pixels ({_first_line(error)}); "
            f"choose another size, or other classifier.options"
        ) from error
    if tuple(logits.shape) != (2, classifier.num_classes):
        raise ConfigError(
            f"classifier.num_classes: {classifier.num_classes}, but {name} returns logits of shape "
            f"{tuple(logits.shape)} for two images"
        )


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
