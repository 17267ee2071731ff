"""The schema of pre-training on digits: what ``launch/pretrain.py`` reads."""

from __future__ import annotations

from typing import Any, Union

from pydantic import Field, ValidationInfo, field_validator

from dusa_ignite.models.guides.times import TIMES, LogitNormalTime
from dusa_ignite.utils.section import PathText, Section


class Augmentation(Section):
    """What training images undergo, so that 750 of them go further."""

    max_shift: int = Field(default=2, ge=0, le=8, description="pixels, up to this in each direction; 0 = none")
    min_contrast: float = Field(
        default=0.5, gt=0, le=1, description="values are scaled by a factor between this and 1, then shifted; 1 = none"
    )


def below_iterations(value: int, info: ValidationInfo) -> int:
    """A warm-up that ends before the training does.

    Raises:
        ValueError: it does not.
    """
    iterations = info.data.get("iterations")
    if iterations is not None and value >= iterations:
        raise ValueError(f"{value} is not allowed; allowed: an integer below iterations ({iterations})")
    return value


class Training(Section):
    """How one of the two models is trained: AdamW, warm-up and cosine decay, averaged weights."""

    iterations: int = Field(ge=1, description="updates, >= 1")
    batch_size: int = Field(default=64, ge=1, le=65536, description="images per update, >= 1")
    lr: float = Field(gt=0, description="highest learning rate, > 0")
    warmup: int = Field(default=60, ge=2, description="updates over which the learning rate rises, 2 .. iterations - 1")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's, >= 0")
    ema_decay: float = Field(default=0.99, gt=0, lt=1, description="of the averaged weights, per update; in (0, 1)")
    validate_every: int = Field(default=250, ge=1, description="updates between validations, >= 1")

    @field_validator("warmup")
    @classmethod
    def _shorter(cls, value: int, info: ValidationInfo) -> int:
        return below_iterations(value, info)


class ClassifierTraining(Training):
    """A timm classifier, trained with cross-entropy."""

    name: str = Field(default="test_convnext", description="any timm name; its weights start at random")
    options: dict[str, Any] = Field(default={}, description="further keyword arguments of timm.create_model")
    label_smoothing: float = Field(default=0.05, ge=0, lt=1, description="share spread over all classes, in [0, 1)")


class TransformerTraining(Training):
    """A pixel-space SiT, trained to predict the velocity of the linear path."""

    image_size: int = Field(default=8, ge=1, le=16384, description="pixels, side of its view; a multiple of patch_size")
    patch_size: int = Field(default=2, ge=1, le=1024, description="pixels")
    hidden_size: int = Field(
        default=96, ge=4, le=16384, multiple_of=4, description="width, a multiple of 4 and of num_heads"
    )
    depth: int = Field(default=4, ge=1, le=1000, description="blocks")
    num_heads: int = Field(default=4, ge=1, le=1024, description="attention heads")
    class_dropout: float = Field(default=0.1, ge=0, le=1, description="share of images shown without their class")
    class_std: float = Field(default=0.5, gt=0, description="standard deviation of the class embeddings at the start")
    time: Union[TIMES] = Field(  # type: ignore[valid-type]  # noqa: UP007 - a tuple to unpack
        default=LogitNormalTime(name="logit_normal", mean=0.5),
        discriminator="name",
        description="noise levels trained on; 0 = data, 1 = noise",
    )

    @field_validator("patch_size", "num_heads")
    @classmethod
    def _divides(cls, value: int, info: ValidationInfo) -> int:
        whole = {"patch_size": "image_size", "num_heads": "hidden_size"}[str(info.field_name)]
        if whole in info.data and info.data[whole] % value:
            raise ValueError(f"{value} is not allowed; allowed: a divisor of {whole} ({info.data[whole]})")
        return value


class PretrainConfig(Section):
    """One pre-training of both models."""

    output_dir: PathText = Field(min_length=1, description="folder of the weights and metrics.json, made if missing")
    seed: int = Field(default=2024, ge=0, lt=2**32, description="of everything random")
    num_threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads of torch, >= 1; null = torch's choice"
    )
    log_every_seconds: float = Field(default=10.0, gt=0, description="seconds between progress lines, > 0")
    augmentation: Augmentation = Field(default=Augmentation(), description="of the training images")
    classifier: ClassifierTraining = Field(description="the model to adapt")
    transformer: TransformerTraining = Field(description="its guide")
