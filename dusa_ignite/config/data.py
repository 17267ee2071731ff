"""The ``data`` section: one class per data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from dusa_ignite.config.fields import nearest
from dusa_ignite.config.types import Number, Section, Severities, read_list
from dusa_ignite.data.corruption_names import ALL_CORRUPTIONS, DIGITS_CORRUPTIONS

Corruptions = Literal["benchmark", "all"] | tuple[str, ...]
ClassNames = Annotated[str | tuple[str, ...] | None, BeforeValidator(read_list)]


class _Data(Section):
    name: str  # declared here to stand first
    batch_size: int = Field(default=64, ge=1, description="images per update, over all processes, >= 1")
    micro_batch_size: int = Field(
        default=8, ge=1, description="images in the graph at once, >= 1; no effect on results"
    )
    shuffle: bool = Field(default=True, description="whether a task's images come in random order")
    correlation: Number = Field(default=0.1, gt=0, description="of labels in setting=correlated, > 0; small = bursts")
    limit: int | None = Field(default=None, ge=1, description="images per task, >= 1, a random subset; null = all")
    num_workers: int = Field(default=4, ge=0, description="loader processes, >= 0; 0 = load in the main process")
    on_error: Literal["raise", "skip"] = Field(default="raise", description="what an unreadable image does")


class ImageNetC(_Data):
    """ImageNet-C: a task per corruption and severity."""

    name: Literal["imagenet_c"] = Field(description="the data set")
    root: str = Field(min_length=1, description="folder of <corruption>/<severity>/<wnid>/*.JPEG")
    corruptions: Corruptions = Field(default="benchmark", description="benchmark (15), all (19), or a list of names")
    severities: Severities = Field(default=(5,), min_length=1, description="list out of 1 (weak) .. 5 (strong)")

    @field_validator("corruptions", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return _corruption_names(value, ALL_CORRUPTIONS)

    @field_validator("severities")
    @classmethod
    def _no_duplicates(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct(value)


class ImageFolder(_Data):
    """Labelled images in folders: a task per sub-folder, or a single task."""

    name: Literal["image_folder"] = Field(description="the data set")
    root: str = Field(min_length=1, description="folder of <task>/<class>/* or <class>/*")
    classes: ClassNames = Field(
        default=None, description="class names in the order of the labels: a list or a text file; null = sorted folders"
    )

    @field_validator("classes")
    @classmethod
    def _no_duplicates(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(value, str) or value is None:
            return value
        if not value:
            raise ValueError("[] is not allowed; allowed: a file, a list of names, or null")
        return _distinct(value)


class Digits(_Data):
    """scikit-learn's handwritten digits under eight corruptions; no files needed."""

    name: Literal["digits"] = Field(description="the data set")
    corruptions: Corruptions = Field(default="benchmark", description="benchmark or all (8), or a list of names")
    severities: Severities = Field(default=(5,), min_length=1, description="list out of 1 (weak) .. 5 (strong)")
    num_workers: int = Field(default=0, ge=0, description="loader processes, >= 0; 0 = load in the main process")

    @field_validator("corruptions", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return _corruption_names(value, DIGITS_CORRUPTIONS)

    @field_validator("severities")
    @classmethod
    def _no_duplicates(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct(value)


def _distinct(values: tuple) -> tuple:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} listed more than once")
    return values


def _corruption_names(value: Any, known: Sequence[str]) -> Any:
    if value in ("benchmark", "all"):
        return value
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"{value!r} is not allowed; allowed: benchmark | all | a list such as [{known[0]}]")
    unknown = [
        f"{name!r} is no corruption, did you mean {nearest(str(name), known)}?" for name in value if name not in known
    ]
    if unknown:
        raise ValueError(f"{' '.join(unknown)}; allowed: benchmark | all | a list out of {', '.join(known)}")
    return _distinct(tuple(value))
