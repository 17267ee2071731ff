"""A run's whole configuration: the union of what the parts offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from pydantic import Field, ValidationInfo, field_validator, model_validator

from dusa_ignite.config.agreement import contradictions
from dusa_ignite.config.errors import Problems
from dusa_ignite.data import DATA_SETS, DataSet
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.data.task import ProblemName
from dusa_ignite.distributed.options import DistributedOptions
from dusa_ignite.handlers.checkpoint import CheckpointOptions
from dusa_ignite.handlers.harm_monitor import MonitorOptions
from dusa_ignite.handlers.norm_ema import NormEMAOptions
from dusa_ignite.handlers.tracking_options import TrackingOptions
from dusa_ignite.methods import METHODS, Dusa, Method
from dusa_ignite.methods.optimizers import OPTIMIZERS, Adam, OptimizerOptions
from dusa_ignite.models.build import ClassifierOptions
from dusa_ignite.models.guides import TIMES, PathOptions, TransformerOptions, VaeOptions
from dusa_ignite.models.guides.times import FixedTime, TimeOptions
from dusa_ignite.segmentation.unet_options import UnetOptions
from dusa_ignite.utils.paths import encode_name
from dusa_ignite.utils.section import PathText, Section

# One class per choice, told apart by its name. Type checkers cannot read such unions; to them they are what is common.
if TYPE_CHECKING:
    AnyDataSet: TypeAlias = DataSet
    AnyTime: TypeAlias = TimeOptions
    AnyMethod: TypeAlias = Method.Options
    AnyOptimizer: TypeAlias = OptimizerOptions
else:
    AnyDataSet = Union[DATA_SETS]  # noqa: UP007
    AnyTime = Union[TIMES]  # noqa: UP007
    AnyMethod = Union[tuple(method.Options for method in METHODS)]  # noqa: UP007
    AnyOptimizer = Union[OPTIMIZERS]  # noqa: UP007


MAX_NAME = 200  # bytes; file systems allow 255, of which `compare` and `tune` take some


class RunOptions(Section):
    """How a run is computed."""

    max_batches: int | None = Field(default=None, ge=1, description="batches per task, >= 1; null = all")
    precision: Literal["auto", "float64", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="float64 or float32 = everything; bfloat16 or float16 = autocast of the guide, the classifier in "
        "float32; auto = bfloat16 on GPUs that have it, else float32",
    )
    deterministic: bool = Field(default=True, description="torch's deterministic algorithms; may be slower on GPUs")
    tf32: bool = Field(
        default=False,
        description="let GPUs multiply float32 matrices in TF32, 10 bits of mantissa; in convolutions they do anyway",
    )
    compile: Literal["off", "blocks"] = Field(
        default="off",
        description="blocks = torch.compile for the guide's transformer blocks, the VAE's encoder and the classifier's "
        "blocks",
    )
    num_threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads of torch, >= 1; null = torch's choice"
    )
    log_every_seconds: float = Field(default=10.0, gt=0, description="seconds between plain progress lines, > 0")
    max_skipped_in_a_row: int = Field(
        default=10, ge=1, description="stop after so many consecutive updates with a non-finite loss or gradient, >= 1"
    )
    memory_check: bool = Field(
        default=True, description="end before anything is built where the memory that is free will not do"
    )


class Config(Section):
    """One run, resolved and checked."""

    name: str = Field(
        pattern=r"^\w[\w .+=-]*$",
        description="the run's folder in output_dir: letters, digits and _, behind the first also spaces and . + = -",
    )
    output_dir: PathText = Field(default="runs", min_length=1, description="folder of all runs' outputs")
    problem: ProblemName = Field(
        default="classification", description="what is predicted: one class per image, or one per pixel"
    )
    seed: int = Field(default=2024, ge=0, lt=2**32, description="of everything random, 0 .. 2^32 - 1")
    setting: Literal[tuple(SETTINGS)] = Field(  # type: ignore[valid-type]
        default="fully", description="how tasks are arranged and when the model is reset"
    )
    run: RunOptions = Field(default=RunOptions(), description="how it is computed")
    data: AnyDataSet = Field(discriminator="name", description="the stream of tasks")
    classifier: ClassifierOptions = Field(description="what is adapted")
    transformer: TransformerOptions | None = Field(
        default=None, description="what guides it; null where the method needs none"
    )
    vae: VaeOptions = Field(default=VaeOptions(), description="the guide's latents")
    path: PathOptions | None = Field(default=None, description="null = the transformer family's own")
    unet: UnetOptions | None = Field(
        default=None, description="what guides segmentation, in the place of transformer, vae and path; null = none"
    )
    time: AnyTime = Field(
        default=FixedTime(), discriminator="name", description="noise level; 0 = data, 1 = noise, for every family"
    )
    method: AnyMethod = Field(default=Dusa.Options(), discriminator="name", description="how the classifier adapts")
    optimizer: AnyOptimizer = Field(default=Adam(), discriminator="name", description="how parameters are updated")
    norm_ema: NormEMAOptions | None = Field(default=None, description="null = off")
    monitor: MonitorOptions = Field(
        default=MonitorOptions(), description="says so when adaptation does harm; needs no labels"
    )
    distributed: DistributedOptions = Field(
        default=DistributedOptions(), description="how several processes share the work"
    )
    checkpoint: CheckpointOptions = Field(default=CheckpointOptions(), description="when the run is saved")
    resume: Literal["never", "auto"] = Field(
        default="never", description="auto = resume an unfinished run of this name where there is one, as --resume"
    )
    export: Literal["classifier", "onnx"] | None = Field(
        default=None,
        description="classifier = keep the adapted classifier of every task, for timm; onnx = as an ONNX file, too; "
        "null = nothing",
    )
    tracking: TrackingOptions = Field(default=TrackingOptions(), description="where it can be watched")

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if len(encode_name(name)) > MAX_NAME:
            raise ValueError(f"{name[:40]!r}... is too long; allowed: {MAX_NAME} bytes in UTF-8")
        return name

    @field_validator("path")
    @classmethod
    def _family_default(cls, path: PathOptions | None, info: ValidationInfo) -> PathOptions | None:
        transformer = info.data.get("transformer")
        return PathOptions(name=transformer.family_paths[0]) if path is None and transformer else path

    @field_validator("*")
    @classmethod
    def _keep(cls, value: Any, info: ValidationInfo) -> Any:
        """Hand a checked section to whoever wants to compare it with others even if one of them is wrong."""
        if info.context is not None:
            info.context[info.field_name] = value
        return value

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        sections = {name: getattr(self, name) for name in type(self).model_fields}
        problems = contradictions(self.method.name, sections)
        if problems:
            raise Problems(problems)
        return self

    def __eq__(self, other: object) -> bool:
        """The same content: a schema with parts of the user's own is a class of its own each time it is made."""
        return isinstance(other, Config) and self.model_dump(mode="json") == other.model_dump(mode="json")

    def __reduce__(self) -> Any:
        """To other processes travel plain values: a schema with parts of the user's own exists in this process only."""
        from dusa_ignite.config.file import validate

        return validate, (self.model_dump(mode="json"),)
