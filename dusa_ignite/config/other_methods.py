"""The ``method`` section of the methods that DUSA is compared with, and of its variant DUSA-U; one class for each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dusa_ignite.config.methods import Dusa
from dusa_ignite.config.types import Number, Section


class DusaU(Dusa):
    """DUSA with only the guide's unconditional branch learning (arXiv 2501.00873); options as for dusa."""

    name: Literal["dusa_u"] = Field(description="the method")  # type: ignore[assignment]


class DiffusionTta(Section):
    """The classifier's probabilities mix the guide's class embeddings (arXiv 2311.16102)."""

    name: Literal["diffusion_tta"] = Field(description="the method")
    num_samples: int = Field(
        default=6, ge=1, description="draws of noise and time per image, >= 1 (published: 5 updates of 180)"
    )
    top_k: int | None = Field(default=None, ge=1, description="mix only the most likely classes, >= 1; null = all")
    predict_after: bool = Field(
        default=False, description="predict after the update (published), not before it as the other methods do"
    )


class Cotta(Section):
    """A moving-average teacher, averaged over augmentations, and random restoring (arXiv 2203.13591)."""

    name: Literal["cotta"] = Field(description="the method")
    teacher_decay: Number = Field(default=0.999, ge=0, le=1, description="of the teacher's average, in [0, 1]")
    num_augmentations: int = Field(default=32, ge=1, description="that the teacher is averaged over, >= 1")
    confidence_threshold: Number = Field(
        default=0.1, ge=0, le=1, description="average where the source model's mean confidence is below, in [0, 1]"
    )
    restore_probability: Number = Field(
        default=0.001, ge=0, le=1, description="of each element to return to the source's, per update, in [0, 1]"
    )


class Rotta(Section):
    """A memory bank, a slow teacher and robust normalisation (arXiv 2303.13899)."""

    name: Literal["rotta"] = Field(description="the method")
    memory_size: int = Field(default=64, ge=1, description="images in the bank, >= 1")
    update_every: int = Field(default=64, ge=1, description="images between updates, >= 1")
    nu: Number = Field(default=0.001, ge=0, le=1, description="share of the student in the teacher, in [0, 1]")
    alpha: Number = Field(default=0.05, ge=0, le=1, description="share of the batch in BatchNorm, in [0, 1]")
    lambda_t: Number = Field(default=1.0, ge=0, description="weight of an image's age in what the bank gives up, >= 0")
    lambda_u: Number = Field(default=1.0, ge=0, description="weight of its uncertainty, >= 0")


class Roid(Section):
    """Certainty and diversity weighting, weight ensembling, prior correction (arXiv 2306.00650)."""

    name: Literal["roid"] = Field(description="the method")
    temperature: Number = Field(default=1 / 3, gt=0, description="of the images' weights, > 0")
    prediction_decay: Number = Field(default=0.9, ge=0, le=1, description="of the mean prediction, in [0, 1]")
    source_decay: Number = Field(
        default=0.99, ge=0, le=1, description="of the weight ensembling with the source, in [0, 1]; 1 = none"
    )
    clip: Number = Field(default=0.99, gt=0, lt=1, description="largest probability in the loss, in (0, 1)")
    weighting: bool = Field(default=True, description="weigh images by certainty and diversity")
    consistency: bool = Field(default=True, description="augmented images should be predicted alike")
    prior_correction: bool = Field(default=True, description="multiply predictions by the batch's mean prediction")


class Lame(Section):
    """Neighbours in a batch should agree; nothing is learnt (arXiv 2201.05718)."""

    name: Literal["lame"] = Field(description="the method")
    num_neighbours: int = Field(default=5, ge=1, description="per image, >= 1")
    max_steps: int = Field(default=100, ge=1, description="of the adjustment, >= 1")
