"""A run's whole configuration, and what must agree between its sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from dusa_ignite.config.data import Digits, ImageFolder, ImageNetC
from dusa_ignite.config.entropy_methods import Bn, Deyo, Eata, Sar, Tent
from dusa_ignite.config.errors import Problem, Problems
from dusa_ignite.config.methods import Adam, AdamW, Dusa, NormEma, Sgd, Source
from dusa_ignite.config.models import (
    Classifier,
    FixedTime,
    LogitNormalTime,
    Path,
    PathName,
    Transformer,
    UniformTime,
    Vae,
)
from dusa_ignite.config.other_methods import Cotta, DiffusionTta, DusaU, Lame, Roid, Rotta
from dusa_ignite.config.outputs import Checkpoint, Tracking
from dusa_ignite.config.processes import Distributed
from dusa_ignite.config.types import Number, Section

Precision = Literal["auto", "float64", "float32", "bfloat16", "float16"]

# The paths that a family's checkpoints are made for, its default first. A transformer without a learned variance counts
# as repa, whichever way its time runs.
FAMILY_PATHS: dict[str, tuple[PathName, ...]] = {
    "repa": ("linear", "cosine", "reverse_linear"),
    "sit": ("reverse_linear",),
    "dit": ("ddpm",),
}

Method = Dusa | DusaU | DiffusionTta | Source | Bn | Tent | Eata | Sar | Cotta | Rotta | Deyo | Roid | Lame
GUIDED_METHODS = (Dusa, DusaU, DiffusionTta)  # need transformer, vae, path and time; the others ignore these sections
STILL_METHODS = (Source, Bn, Lame)  # learn nothing
NORM_METHODS = (Tent, Eata, Sar, Rotta, Deyo, Roid)  # learn the classifier's norm layers only

VAE_DOWNSAMPLING = 8  # image side / latent side
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

    name: str = Field(pattern=r"^\w[\w .+=-]*$", description="the run's folder within output_dir")
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

    @field_validator("method")
    @classmethod
    def _sections_fit(cls, method: Method, info: ValidationInfo) -> Method:
        problems: list[Problem] = []
        if isinstance(method, GUIDED_METHODS):
            problems += _guide_problems(method, info.data)
        elif not isinstance(method, STILL_METHODS):
            problems += _learning_problems(method, info.data)
        if problems:
            raise Problems(problems)
        return method

    @property
    def is_guided(self) -> bool:
        """Whether the method needs a guide."""
        return isinstance(self.method, GUIDED_METHODS)

    @property
    def learns(self) -> bool:
        """Whether the method changes any parameter."""
        return not isinstance(self.method, STILL_METHODS)

    @property
    def latent_size(self) -> int:
        """Side of the transformer's input, in latents or (without a VAE) pixels; needs a transformer."""
        assert self.transformer is not None
        return self.transformer.image_size // (VAE_DOWNSAMPLING if self.vae.pretrained else 1)

    @property
    def in_channels(self) -> int:
        """Channels of the transformer's input."""
        return LATENT_CHANNELS if self.vae.pretrained else PIXEL_CHANNELS


def _learning_problems(method: Any, sections: dict[str, Any]) -> Iterator[Problem]:
    classifier = sections.get("classifier")
    if classifier is None:
        return
    if classifier.trainable == "none":
        yield Problem(("classifier.trainable",), f"'none' leaves nothing to train for method.name={method.name}")
    elif classifier.trainable == "all" and isinstance(method, NORM_METHODS):
        yield Problem(
            ("classifier.trainable",), f"'all' is not allowed; allowed: norm, as method.name={method.name} learns these"
        )


def _guide_problems(method: Dusa | DiffusionTta, sections: dict[str, Any]) -> Iterator[Problem]:
    """Contradictions between sections; one that is wrong in itself is not in ``sections`` and reported anyway."""
    classifier, transformer = sections.get("classifier"), sections.get("transformer")
    if classifier and isinstance(method, Dusa) and method.num_top + method.num_random > classifier.num_classes:
        yield Problem(
            ("method.num_top", "method.num_random", "classifier.num_classes"),
            f"num_top {method.num_top} + num_random {method.num_random} is more than there are classes; "
            f"allowed: together <= classifier.num_classes = {classifier.num_classes}",
        )
    if classifier and isinstance(method, DiffusionTta) and (method.top_k or 0) > classifier.num_classes:
        yield Problem(("method.top_k",), f"{method.top_k} is not allowed; allowed: <= {classifier.num_classes} classes")
    if transformer:
        yield from _input_problems(transformer, sections)
    elif "transformer" in sections:
        yield Problem(("transformer", "method.name"), f"missing, but method.name={method.name} needs one")
    if classifier and transformer:
        yield from _model_problems(classifier, transformer)


def _model_problems(classifier: Classifier, transformer: Transformer) -> Iterator[Problem]:
    if classifier.num_classes != transformer.num_classes:
        yield Problem(
            ("transformer.num_classes", "classifier.num_classes"),
            f"{transformer.num_classes} is not allowed; allowed: classifier.num_classes = {classifier.num_classes}",
        )
    if classifier.trainable == "none" and not transformer.trainable:
        yield Problem(
            ("classifier.trainable", "transformer.trainable"),
            "'none' with transformer.trainable=false leaves nothing to train; change one, or take method.name=source",
        )


def _input_problems(transformer: Transformer, sections: dict[str, Any]) -> Iterator[Problem]:
    vae, path = sections.get("vae"), sections.get("path")
    if vae:
        multiple = transformer.patch * (VAE_DOWNSAMPLING if vae.pretrained else 1)
        if transformer.image_size % multiple:
            meaning = "8 x the patch size" if vae.pretrained else "the patch size, as there is no VAE"
            yield Problem(
                ("transformer.image_size", "transformer.variant", "transformer.patch_size", "vae.pretrained"),
                f"{transformer.image_size} is not allowed; allowed: a multiple of {multiple} ({meaning})",
            )
    fitting = FAMILY_PATHS[transformer.family]
    if path and path.name not in fitting:
        yield Problem(
            ("path.name", "transformer.family"),
            f"{path.name!r} does not fit transformer.family {transformer.family}; allowed: {' | '.join(fitting)}",
        )
