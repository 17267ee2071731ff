"""Segmenters of transformers, read from a folder or the hub and written to a folder."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.models.build import own_backbone
from dusa_ignite.models.weights.strict import save_weights
from dusa_ignite.segmentation.extra import loading, transformers_for
from dusa_ignite.segmentation.segmenter import Segmenter
from dusa_ignite.segmentation.shipped import EMBEDDED, shipped_shapes
from dusa_ignite.utils.paths import expanded

PREFIX = "transformers:"  # before a folder or hub id, as the classifier's name
UNNAMED = "LABEL_"  # transformers' own names, where nobody gave any


def is_segmenter_name(name: str) -> bool:
    """Whether it is ``transformers:<folder or hub id>``."""
    return name.startswith(PREFIX)


class HubSegmenter(nn.Module):
    """A model of transformers, with logits alone as its output.

    Args:
        model: of ``AutoModelForSemanticSegmentation``.
        processor: the image processor it came with; written beside it.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) logits of normalised RGB images (B, 3, H, W)."""
        return self.model(pixel_values=images).logits


def build_segmenter(
    name: str, *, num_classes: int, short_side: int, batch_norm: str = "batch", options: dict[str, Any] | None = None
) -> Segmenter:
    """A segmenter by its name in the config.

    Args:
        name: ``transformers:<folder or hub id>``, see :func:`load_segmenter`; or a reference to a factory,
            ``path/to/file.py:build``, which is called with ``options`` and returns a module with logits (B, C, h, w) of
            normalised RGB images (B, 3, H, W), its weights loaded, and an attribute ``pretrained_cfg`` with ``mean``
            and ``std``.
        num_classes: C; another number is an error.
        short_side: see :class:`dusa_ignite.segmentation.segmenter.Segmenter`.
        batch_norm: see there.
        options: keyword arguments of the factory.

    Raises:
        CheckpointError: see :func:`load_segmenter`.
        ConfigError: the number of classes is another one, or the factory does not do what it should.
        UserError: transformers is not installed.
    """
    if is_segmenter_name(name):
        segmenter = load_segmenter(name.removeprefix(PREFIX), short_side=short_side, batch_norm=batch_norm)
        if segmenter.num_classes != num_classes:
            raise ConfigError(f"classifier.num_classes: {num_classes}, but {name} has {segmenter.num_classes}")
        return segmenter
    backbone, view = own_backbone(name, num_classes=num_classes, options=options or {}, needed=("mean", "std"))
    return Segmenter(
        backbone,
        num_classes=num_classes,
        short_side=short_side,
        mean=tuple(view["mean"]),
        std=tuple(view["std"]),
        batch_norm=batch_norm,
    )


def segmenter_class_names(name: str) -> tuple[str, ...]:
    """The names of the classes that a segmenter's config.json gives, in the order of its outputs; empty = none.

    Args:
        name: ``transformers:<folder or hub id>``; others name none.

    Raises:
        CheckpointError: there is no such folder or repository.
        UserError: transformers is not installed.
    """
    if not is_segmenter_name(name):
        return ()
    transformers = transformers_for(f"classifier.name: {name}")
    try:
        with loading(transformers):
            config = transformers.AutoConfig.from_pretrained(_place(name.removeprefix(PREFIX)))
    except Exception as error:  # transformers' errors share no base class
        raise CheckpointError(f"classifier.name: {name}: no config.json can be read ({_first_line(error)})") from error
    return _names(config)


def segmenter_shapes(pretrained: str, *, short_side: int, batch_norm: str = "batch") -> Segmenter:
    """A segmenter as :func:`load_segmenter` returns it, with neither weights nor normalisation: all that memory asks.

    Args:
        pretrained, short_side, batch_norm: see there. Of its folder config.json alone is read.
    """
    transformers = transformers_for("classifier.name: a segmenter of transformers")
    with loading(transformers):
        config = transformers.AutoConfig.from_pretrained(_place(pretrained))
        model = transformers.AutoModelForSemanticSegmentation.from_config(config)
    return Segmenter(
        HubSegmenter(model.float(), processor=None),
        num_classes=config.num_labels,
        short_side=short_side,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        batch_norm=batch_norm,
    )


def load_segmenter(pretrained: str, *, short_side: int = 512, batch_norm: str = "batch") -> Segmenter:
    """Any model that transformers' ``AutoModelForSemanticSegmentation`` loads, with its own normalisation and names.

    The resize of its image processor is not taken: images keep their ratio here, with ``short_side`` pixels.

    Args:
        pretrained: a folder, or a hub id (``nvidia/segformer-b5-finetuned-ade-640-640``); or ``embedded``, the
            package's own for the canvases, whose short side is 64.
        short_side: see :class:`dusa_ignite.segmentation.segmenter.Segmenter`.
        batch_norm: see there.

    Raises:
        CheckpointError: neither a folder nor a repository that can be reached, weights that do not fit the model, or no
            preprocessor_config.json that says how images are normalised.
        UserError: transformers is not installed.
    """
    transformers = transformers_for("classifier.name: a segmenter of transformers")
    where = f"classifier.name: {PREFIX}{pretrained}"
    place = _place(pretrained)
    if Path(place).is_file():
        raise CheckpointError(f"{where}: a file; give its folder, as transformers' save_pretrained writes it")
    try:
        with loading(transformers):
            model, report = transformers.AutoModelForSemanticSegmentation.from_pretrained(
                place, output_loading_info=True
            )
            processor = transformers.AutoImageProcessor.from_pretrained(place)
    except Exception as error:  # transformers' errors share no base class
        raise CheckpointError(
            f"{where}: neither a segmenter's folder nor a repository that can be reached, with config.json, weights "
            f"and preprocessor_config.json ({_first_line(error)})"
        ) from error
    wrong = [*report["missing_keys"], *map(str, report["mismatched_keys"])]
    if wrong:
        raise CheckpointError(
            f"{where}: {len(wrong)} parameters are not in the weights: {', '.join(sorted(wrong)[:3])}"
        )
    mean, std = _normalisation(processor, where)
    return Segmenter(
        HubSegmenter(model.float(), processor),
        num_classes=model.config.num_labels,
        short_side=short_side,
        mean=mean,
        std=std,
        batch_norm=batch_norm,
        class_names=_names(model.config),
    )


def save_segmenter(segmenter: Segmenter, folder: Path, *, class_names: Sequence[str] = ()) -> None:
    """Write the adapted weights: those of transformers as a folder that it loads, others as ``model.safetensors``.

    Beside the latter, ``segmenter.json`` says how images are prepared and what the classes are called.

    Args:
        segmenter: as it is.
        folder: made if missing.
        class_names: in the order of the outputs; empty = those that the segmenter knows.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backbone = segmenter.backbone
    if isinstance(backbone, HubSegmenter):
        model = backbone.model
        if model.dtype == torch.float64:  # files hold float32
            model = copy.deepcopy(model).float()
        if class_names:
            model.config.id2label = dict(enumerate(class_names))
            model.config.label2id = {name: label for label, name in enumerate(class_names)}
        with loading(transformers_for("a segmenter's folder")):  # without its progress bar
            model.save_pretrained(folder)
            backbone.processor.save_pretrained(folder)
        return
    save_weights(backbone.state_dict(), folder / "model.safetensors")
    description = {"view": segmenter.source_view.values(), "class_names": list(class_names or segmenter.class_names)}
    (folder / "segmenter.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _place(pretrained: str) -> str:
    """A folder's path or a hub id, as transformers takes it."""
    return str(shipped_shapes("segmenter") if pretrained == EMBEDDED else expanded(pretrained))


def _names(config: Any) -> tuple[str, ...]:
    names = tuple(str(config.id2label[label]).strip() for label in range(config.num_labels))
    return () if all(name.startswith(UNNAMED) for name in names) else names


def _normalisation(processor: Any, where: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of RGB in [0, 1]."""
    if (
        not getattr(processor, "do_rescale", True)
        or abs(getattr(processor, "rescale_factor", 1 / 255) * 255 - 1) > 1e-6
    ):
        raise CheckpointError(
            f"{where}: preprocessor_config.json does not scale images to [0, 1] (rescale_factor 1/255)"
        )
    if not processor.do_normalize:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = (tuple(float(value) for value in values) for values in (processor.image_mean, processor.image_std))
    if len(mean) != 3 or len(std) != 3:
        raise CheckpointError(f"{where}: preprocessor_config.json must have image_mean and image_std of three numbers")
    return mean, std


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
