"""The sections about networks: the classifier, and the transformer with its autoencoder, path and times."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from dusa_ignite.config.types import Number, Section

Family = Literal["repa", "sit", "dit"]
PathName = Literal["linear", "cosine", "reverse_linear", "ddpm"]
# fmt: off
Variant = Literal[
    "SiT-S/2", "SiT-S/4", "SiT-S/8", "SiT-B/2", "SiT-B/4", "SiT-B/8",
    "SiT-L/2", "SiT-L/4", "SiT-L/8", "SiT-XL/2", "SiT-XL/4", "SiT-XL/8",
    "DiT-S/2", "DiT-S/4", "DiT-S/8", "DiT-B/2", "DiT-B/4", "DiT-B/8",
    "DiT-L/2", "DiT-L/4", "DiT-L/8", "DiT-XL/2", "DiT-XL/4", "DiT-XL/8",
]
# fmt: on


class Classifier(Section):
    """The model that is adapted. With neither ``pretrained`` nor ``checkpoint`` its weights are random."""

    name: str = Field(min_length=1, description="timm name, pinned to its weights")
    pretrained: bool = Field(
        default=True, description="load timm's weights for this name, unless a checkpoint is given"
    )
    checkpoint: str | None = Field(
        default=None,
        min_length=1,
        description="weights file, hub:<repo>:<file>, or embedded (the digits demo's); or null",
    )
    num_classes: int = Field(default=1000, ge=2, description="outputs, >= 2")
    trainable: Literal["all", "norm", "none"] = Field(
        default="all", description="which parameters learn: all, those of the normalisation layers, none"
    )
    image_size: int | None = Field(default=None, ge=1, description="pixels, side of its input, >= 1; null = timm's")
    batch_norm: Literal["batch", "source"] = Field(
        default="batch", description="BatchNorm normalises with the batch's or with the stored source statistics"
    )
    options: dict[str, JsonValue] = Field(default={}, description="further keyword arguments of timm.create_model")


class Transformer(Section):
    """The class-conditional diffusion or flow transformer that guides."""

    variant: Variant | None = Field(default=None, description="size and patch; null = the four sizes below are given")
    family: Family = Field(description="whose checkpoint it is: REPA, official SiT, DiT")
    checkpoint: str = Field(
        min_length=1, description="weights file, hub:<repo>:<file>, embedded (the digits demo's), or random"
    )
    num_classes: int = Field(default=1000, ge=2, description="classes without the unconditional one, >= 2")
    image_size: int = Field(default=256, ge=1, description="pixels, side of the square the guide sees, >= 1")
    trainable: bool = Field(default=True, description="whether it learns too")
    patch_size: int | None = Field(default=None, ge=1, description="latents or pixels, >= 1; null = the variant's")
    hidden_size: int | None = Field(default=None, ge=4, multiple_of=4, description=">= 4, by 4; null = the variant's")
    depth: int | None = Field(default=None, ge=1, description="blocks, >= 1; null = the variant's")
    num_heads: int | None = Field(default=None, ge=1, description=">= 1, divides hidden_size; null = the variant's")

    @field_validator("patch_size", "hidden_size", "depth", "num_heads")
    @classmethod
    def _size_is_known(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None and info.data.get("variant", "failed") is None:
            raise ValueError("missing; give transformer.variant, or patch_size, hidden_size, depth and num_heads")
        return value

    @field_validator("num_heads")
    @classmethod
    def _heads_divide_width(cls, value: int | None, info: ValidationInfo) -> int | None:
        width = info.data.get("hidden_size")
        if value and width and width % value:
            raise ValueError(f"{value} does not divide hidden_size {width}")
        return value

    @property
    def patch(self) -> int:
        """Side of a patch, the variant's or the given one, in latents or pixels."""
        return self.patch_size or int(str(self.variant).split("/")[1])


class Vae(Section):
    """The autoencoder whose latents the transformer works on."""

    pretrained: str | None = Field(
        default="stabilityai/sd-vae-ft-ema", min_length=1, description="hub id, folder, or random; null = pixel space"
    )
    scaling_factor: Number = Field(default=0.18215, gt=0, description="multiplies the latents, > 0")


class Path(Section):
    """How x0 and noise are mixed, and what the transformer predicts."""

    name: PathName = Field(description="must fit transformer.family")


class FixedTime(Section):
    """The same noise level for every image."""

    name: Literal["fixed"] = Field(default="fixed", description="how t is chosen")
    t: Number = Field(default=0.25, ge=0, le=1, description="time, 0 (data) .. 1 (noise)")


class UniformTime(Section):
    """Uniform over an interval."""

    name: Literal["uniform"] = Field(description="how t is chosen")
    t_min: Number = Field(default=0.0, ge=0, le=1, description="lowest time, 0 (data) .. 1 (noise)")
    t_max: Number = Field(default=1.0, ge=0, le=1, description="highest time, t_min .. 1")

    @field_validator("t_max")
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("t_min", 0.0):
            raise ValueError(f"{value} is below t_min {info.data['t_min']}; allowed: a number >= t_min and <= 1")
        return value


class LogitNormalTime(Section):
    """1 / (1 + exp(-u)) with normal u."""

    name: Literal["logit_normal"] = Field(description="how t is chosen")
    mean: Number = Field(default=0.0, description="of u, any number")
    std: Number = Field(default=1.0, ge=0, description="standard deviation of u, >= 0")
