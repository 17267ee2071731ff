"""Segmenters of transformers, read from a folder or the hub and written to a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.strict import save_weights
from dusa_ignite.segmentation.extra import loading, transformers_for
from dusa_ignite.segmentation.segmenter import Segmenter
from dusa_ignite.segmentation.shipped import EMBEDDED, shipped_shapes
from dusa_ignite.utils.paths import expanded

UNNAMED = "LABEL_"  # transformers' own names, where nobody gave any


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
    transformers = transformers_for("classifier.pretrained: a segmenter of the hub")
    where = f"classifier.pretrained: {pretrained}"
    place = str(shipped_shapes("segmenter") if pretrained == EMBEDDED else expanded(pretrained))
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
    names = tuple(str(model.config.id2label[label]) for label in range(model.config.num_labels))
    return Segmenter(
        HubSegmenter(model.float(), processor),
        num_classes=model.config.num_labels,
        short_side=short_side,
        mean=mean,
        std=std,
        batch_norm=batch_norm,
        class_names=() if all(name.startswith(UNNAMED) for name in names) else names,
    )


def save_segmenter(segmenter: Segmenter, folder: Path) -> None:
    """Write the adapted weights: those of transformers as a folder that it loads, others as ``model.safetensors``.

    Beside the latter, ``segmenter.json`` says how images are prepared and what the classes are called.

    Args:
        segmenter: as it is.
        folder: made if missing.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backbone = segmenter.backbone
    if isinstance(backbone, HubSegmenter):
        with loading(transformers_for("a segmenter's folder")):  # without its progress bar
            backbone.model.save_pretrained(folder)
            backbone.processor.save_pretrained(folder)
        return
    save_weights(backbone.state_dict(), folder / "model.safetensors")
    description = {"view": segmenter.source_view.values(), "class_names": list(segmenter.class_names)}
    (folder / "segmenter.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


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
