"""The schema of pre-training on canvases: what ``dusa-ignite pretrain --config shapes_pretrain`` reads."""

from __future__ import annotations

from typing import Annotated, Union

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from dusa_ignite.models.guides.times import TIMES, UniformTime
from dusa_ignite.pretraining.config import Training
from dusa_ignite.utils.section import PathText, Section, as_tuple

Widths = Annotated[tuple[Annotated[int, Field(ge=8, le=4096, multiple_of=8)], ...], BeforeValidator(as_tuple)]
"""Channels of a model's levels, each a multiple of 8."""


class CanvasesOptions(Section):
    """The canvases that both models are trained on; their digits are those of the clean half."""

    side: int = Field(default=64, ge=32, le=1024, multiple_of=16, description="pixels, a multiple of 16")
    training: int = Field(default=4000, ge=1, le=10**6, description="canvases to train on, >= 1; kept in memory")
    validation: int = Field(default=100, ge=1, le=10**5, description="canvases to measure on, >= 1")


class SegmenterTraining(Training):
    """A SegFormer whose logits have half of the canvas's resolution, trained with cross-entropy."""

    widths: Widths = Field(default=(16, 32, 64, 96), min_length=4, max_length=4, description="channels of the 4 levels")
    depths: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], BeforeValidator(as_tuple)] = Field(
        default=(1, 1, 1, 1), min_length=4, max_length=4, description="blocks of the 4 levels"
    )
    decoder_width: int = Field(default=64, ge=8, le=4096, description="channels of the head, >= 8")


class GuideTraining(Training):
    """A UNet in pixel space with embedded prompts, trained to predict the noise in windows."""

    window: int = Field(default=32, ge=16, le=1024, multiple_of=8, description="pixels, side of a window, by 8")
    widths: Widths = Field(default=(16, 32, 64), min_length=3, max_length=3, description="channels of the 3 levels")
    tokens: int = Field(default=4, ge=1, le=77, description="vectors per prompt, >= 1")
    prompt_width: int = Field(default=32, ge=1, le=4096, description="numbers per vector, >= 1")
    min_contrast: float = Field(
        default=0.2, gt=0, le=1, description="windows are scaled by a factor between this and 1, then shifted; 1 = none"
    )
    time: Union[TIMES] = Field(  # type: ignore[valid-type]  # noqa: UP007 - a tuple to unpack
        default=UniformTime(name="uniform", t_min=0.02, t_max=0.9),
        discriminator="name",
        description="noise levels trained on; 0 = data, 1 = noise",
    )


class ShapesConfig(Section):
    """One pre-training of a segmenter and of its guide."""

    output_dir: PathText = Field(min_length=1, description="folder of both models and metrics.json, made if missing")
    seed: int = Field(default=2024, ge=0, lt=2**32, description="of everything random")
    num_threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads of torch, >= 1; null = torch's choice"
    )
    log_every_seconds: float = Field(default=10.0, gt=0, description="seconds between progress lines, > 0")
    canvases: CanvasesOptions = Field(default=CanvasesOptions(), description="what both are trained on")
    segmenter: SegmenterTraining = Field(description="the model to adapt")
    guide: GuideTraining = Field(description="its guide")

    @field_validator("guide")
    @classmethod
    def _fits(cls, value: GuideTraining, info: ValidationInfo) -> GuideTraining:
        canvases = info.data.get("canvases")
        if canvases is not None and value.window > canvases.side:
            raise ValueError(f"window {value.window} is larger than the canvases' side, {canvases.side}")
        return value
