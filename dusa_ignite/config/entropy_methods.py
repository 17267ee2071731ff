"""The ``method`` section of the methods that minimise entropy or replace BatchNorm statistics; one class for each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from dusa_ignite.config.types import Number, Section


class Bn(Section):
    """BatchNorm with statistics of the test batch (arXiv 2006.16971); nothing learns."""

    name: Literal["bn"] = Field(description="the method")
    alpha: Number = Field(
        default=1.0, ge=0, le=1, description="weight of the batch's statistics against the source's, in [0, 1]"
    )


class Tent(Section):
    """Entropy minimisation (arXiv 2006.10726)."""

    name: Literal["tent"] = Field(description="the method")


class Eata(Section):
    """Entropy minimisation on reliable, non-redundant images, close to the source weights (arXiv 2204.02610)."""

    name: Literal["eata"] = Field(description="the method")
    fisher_root: str | None = Field(
        default=None, min_length=1, description="folder of clean images by class, for the Fisher information"
    )
    fisher_images: int = Field(default=2000, ge=1, description="of it, drawn at random, >= 1")
    beta: Number = Field(
        default=2000.0, ge=0, description="weight of the Fisher term, >= 0; 0 = eta, which needs no fisher_root"
    )
    entropy_margin: Number = Field(default=0.4, gt=0, description="images below this x ln(classes) are reliable, > 0")
    redundancy_margin: Number = Field(
        default=0.05,
        ge=0,
        description="cosine similarity below which an image is new, >= 0 (published: 10 classes 0.4)",
    )
    prediction_decay: Number = Field(default=0.9, ge=0, le=1, description="of the mean prediction, in [0, 1]")

    @field_validator("beta")
    @classmethod
    def _has_images(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("fisher_root", "failed") is None:
            raise ValueError(
                f"{value:g} needs method.fisher_root, a folder of clean images by class; or give method.beta=0, "
                f"which is ETA"
            )
        return value


class Sar(Section):
    """Sharpness-aware, reliable entropy minimisation with recovery (arXiv 2302.12400)."""

    name: Literal["sar"] = Field(description="the method")
    entropy_margin: Number = Field(default=0.4, gt=0, description="images below this x ln(classes) are reliable, > 0")
    rho: Number = Field(default=0.05, ge=0, description="length of the weights' perturbation, >= 0")
    loss_decay: Number = Field(default=0.9, ge=0, le=1, description="of the loss's moving average, in [0, 1]")
    recovery_threshold: Number = Field(
        default=0.2, ge=0, description="moving average, in nats, below which the source comes back, >= 0; 0 = never"
    )


class Deyo(Section):
    """Entropy minimisation on images whose prediction rests on the object (arXiv 2403.07366)."""

    name: Literal["deyo"] = Field(description="the method")
    entropy_threshold: Number = Field(default=0.5, gt=0, description="images below this x ln(classes) learn, > 0")
    entropy_margin: Number = Field(default=0.4, gt=0, description="E0 of their weights / ln(classes), > 0")
    plpd_threshold: Number = Field(
        default=0.2,
        ge=-1,
        le=1,
        description="drop of the probability above which they learn, in [-1, 1] "
        "(published: one corruption at a time 0.3, mixed or correlated 0.2)",
    )
    destruction: Literal["patch", "pixel", "occlusion"] = Field(default="patch", description="of the object")
    patches_per_side: int = Field(default=4, ge=1, description="for patch, >= 1")
