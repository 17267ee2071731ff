"""A run's whole configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from dusa_ignite.config.agreement import (
    FAMILY_PATHS,
    GUIDED_METHODS,
    STILL_METHODS,
    VAE_DOWNSAMPLING,
    contradictions,
)
from dusa_ignite.config.data import Digits, ImageFolder, ImageNetC
from dusa_ignite.config.entropy_methods import Bn, Deyo, Eata, Sar, Tent
from dusa_ignite.config.errors import Problems
from dusa_ignite.config.methods import Adam, AdamW, Dusa, NormEma, Sgd, Source
from dusa_ignite.config.models import Classifier, FixedTime, LogitNormalTime, Path, Transformer, UniformTime, Vae
from dusa_ignite.config.other_methods import Cotta, DiffusionTta, DusaU, Lame, Roid, Rotta
from dusa_ignite.config.outputs import Checkpoint, Tracking
from dusa_ignite.config.processes import Distributed
from dusa_ignite.config.types import Number, Section

Precision = Literal["auto", "float64", "float32", "bfloat16", "float16"]

Method = Dusa | DusaU | DiffusionTta | Source | Bn | Tent | Eata | Sar | Cotta | Rotta | Deyo | Roid | Lame

LATENT_CHANNELS = 4
PIXEL_CHANNELS = 3


class Run(Section):
    """How a run is computed."""

    max_batches: int | None = Field(default=None, ge=1, description="batches per task, >= 1; null = all")
    precision: Precision = Field(
        default="auto",
        description="float64 or float32 = everything; bfloat16 or float16 = autocast of the guide, the classifier in "
        "float32; auto = bfloat16 on GPUs that have it, else float32",
    )
    deterministic: bool = Field(default=True, description="torch's deterministic algorithms; may be slower on GPUs")
    num_threads: int | None = Field(default=None, ge=1, description="CPU threads of torch, >= 1; null = torch's choice")
    log_every_seconds: Number = Field(default=10.0, gt=0, description="seconds between plain progress lines, > 0")
    max_skipped_in_a_row: int = Field(
        default=10, ge=1, description="stop after so many consecutive updates with a non-finite loss or gradient, >= 1"
    )


class Config(Section):
    """One run, resolved and checked."""

    name: str = Field(
        pattern=r"^\w[\w .+=-]*$",
        description="the run's folder in output_dir: letters, digits and _, behind the first also spaces and . + = -",
    )
    output_dir: str = Field(default="runs", min_length=1, description="folder of all runs' outputs")
    seed: int = Field(default=2024, ge=0, lt=2**32, description="of everything random, 0 .. 2^32 - 1")
    setting: Literal["fully", "continual", "gradual", "mixed", "correlated", "episodic"] = Field(
        default="fully", description="how tasks are arranged and when the model is reset"
    )
    run: Run = Field(default=Run(), description="how it is computed")
    data: ImageNetC | ImageFolder | Digits = Field(discriminator="name", description="the stream of tasks")
    classifier: Classifier = Field(description="what is adapted")
    transformer: Transformer | None = Field(
        default=None, description="what guides it; null where the method needs none"
    )
    vae: Vae = Field(default=Vae(), description="the guide's latents")
    path: Path | None = Field(default=None, description="null = the transformer family's own")
    time: FixedTime | UniformTime | LogitNormalTime = Field(
        default=FixedTime(), discriminator="name", description="noise level; 0 = data, 1 = noise, for every family"
    )
    method: Method = Field(default=Dusa(), discriminator="name", description="how the classifier adapts")
    optimizer: Adam | AdamW | Sgd = Field(
        default=Adam(), discriminator="name", description="how parameters are updated"
    )
    norm_ema: NormEma | None = Field(default=None, description="null = off")
    distributed: Distributed = Field(default=Distributed(), description="how several processes share the work")
    checkpoint: Checkpoint = Field(default=Checkpoint(), description="when the run is saved")
    resume: Literal["never", "auto"] = Field(
        default="never", description="auto = go on with an unfinished run of this name where there is one, as --resume"
    )
    export: Literal["classifier"] | None = Field(
        default=None, description="classifier = keep the adapted classifier of every task, for timm; null = nothing"
    )
    tracking: Tracking = Field(default=Tracking(), description="where it can be watched")

    @field_validator("path")
    @classmethod
    def _family_default(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        transformer = info.data.get("transformer")
        return Path(name=FAMILY_PATHS[transformer.family][0]) if path is None and transformer else path

    @field_validator("*")
    @classmethod
    def _keep(cls, value: Any, info: ValidationInfo) -> Any:
        """Hand a checked section to whoever wants to compare it with others even if one of them is wrong."""
        if info.context is not None:
            info.context[info.field_name] = value
        return value

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        problems = contradictions(self.method.name, {name: getattr(self, name) for name in type(self).model_fields})
        if problems:
            raise Problems(problems)
        return self

    @property
    def is_guided(self) -> bool:
        """Whether the method needs a guide."""
        return self.method.name in GUIDED_METHODS

    @property
    def learns(self) -> bool:
        """Whether the method changes any parameter."""
        return self.method.name not in STILL_METHODS

    @property
    def latent_size(self) -> int:
        """Side of the transformer's input, in latents or (without a VAE) pixels; needs a transformer."""
        assert self.transformer is not None
        return self.transformer.image_size // (VAE_DOWNSAMPLING if self.vae.pretrained else 1)

    @property
    def in_channels(self) -> int:
        """Channels of the transformer's input."""
        return LATENT_CHANNELS if self.vae.pretrained else PIXEL_CHANNELS
