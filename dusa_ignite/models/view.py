"""The classifier's view: what is done to an image before the backbone sees it, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import timm
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from torch import nn

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.utils.section import Section, as_tuple

PerChannel = Annotated[tuple[float, float, float], BeforeValidator(as_tuple)]
TEST_VALUES = {"image_size": "test_image_size", "crop_pct": "test_crop_pct"}


class ViewOptions(Section):
    """The config's section ``classifier.view``; null = what the checkpoint's metadata says, else timm for the name."""

    preset: Literal["train", "test"] = Field(
        default="train",
        description="of what metadata and timm say: train = size and crop of training, which ImageNet-C results use; "
        "test = those for testing, where there are others; view: test is short for it",
    )
    image_size: int | None = Field(default=None, ge=1, le=16384, description="pixels, side of its input, >= 1")
    crop_pct: float | None = Field(
        default=None, gt=0, le=1, description="the shorter side is resized to image_size / crop_pct; in (0, 1]"
    )
    interpolation: Literal["nearest", "nearest-exact", "bilinear", "bicubic"] | None = Field(
        default=None, description="of the resize"
    )
    crop_mode: Literal["center", "squash"] | None = Field(
        default=None, description="center = the central square; squash = both sides are resized"
    )
    mean: PerChannel | None = Field(default=None, description="list of three, subtracted from RGB in [0, 1]")
    std: PerChannel | None = Field(default=None, description="list of three, > 0, divides what is left")
    antialias: bool | None = Field(default=None, description="low-pass where it shrinks, as Pillow does; null = true")

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and min(value) <= 0:
            raise ValueError(f"{list(value)} is not allowed; allowed: numbers > 0")
        return value


KEYS = tuple(key for key in ViewOptions.model_fields if key != "preset")


@dataclass(frozen=True)
class View:
    """All values of a view, and by their names where each came from.

    Attributes:
        image_size: pixels, side of the square that the backbone sees.
        crop_pct: an image is resized to ``image_size / crop_pct`` before the square is cut.
        interpolation: of the resize.
        crop_mode: ``center`` or ``squash``.
        mean, std: per channel, of RGB in [0, 1].
        antialias: whether shrinking is low-passed.
        sources: by value.
    """

    image_size: int
    crop_pct: float
    interpolation: str
    crop_mode: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    antialias: bool
    sources: Mapping[str, str]

    def values(self) -> dict[str, Any]:
        """The values alone, as plain JSON."""
        return {key: list(value) if isinstance(value := getattr(self, key), tuple) else value for key in KEYS}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Every value with where it came from, as plain JSON."""
        return {key: {"value": value, "from": self.sources[key]} for key, value in self.values().items()}

    def __str__(self) -> str:
        """A line for the log, values of one source together."""
        by_source: dict[str, list[str]] = {}
        for key, value in self.values().items():
            by_source.setdefault(self.sources[key], []).append(f"{key} {_shown(value)}")
        return "the classifier's view: " + "; ".join(f"{', '.join(said)} ({who})" for who, said in by_source.items())


def resolve_view(
    backbone: nn.Module,
    *,
    options: ViewOptions | None = None,
    image_size: int | None = None,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
    name: str = "",
) -> View:
    """Every value from the first that has it: the config, the checkpoint's metadata, timm.

    Args:
        backbone: with timm's ``pretrained_cfg``.
        options: of the config.
        image_size: short for ``options.image_size``.
        metadata: by source, see :class:`dusa_ignite.models.metadata.Metadata`.
        name: the classifier's, for messages.

    Raises:
        CheckpointError: metadata or timm ask for something that cannot be done here.
    """
    options = options or ViewOptions()
    found = {key: (value, f"classifier.view.{key}") for key in KEYS if (value := getattr(options, key)) is not None}
    if image_size is not None:
        found["image_size"] = (image_size, "classifier.image_size")
    for source, view in (metadata or {}).items():
        for key in KEYS:
            value = view.get(TEST_VALUES.get(key, "")) if options.preset == "test" else None
            value = view.get(key) if value is None else value
            if value is not None and key not in found:
                found[key] = (_checked(key, value, source), source)
    own = timm.data.resolve_model_data_config(backbone, use_test_size=options.preset == "test")
    stated: Any = getattr(backbone, "pretrained_cfg", None) or {}
    for key in KEYS:
        if key not in found:
            value = {**own, "image_size": own["input_size"][-1], "antialias": True}[key]
            of_name = (stated.get("input_size" if key == "image_size" else key)) is not None
            who = "default" if key == "antialias" else f"timm, {name or 'the model'}" if of_name else "timm's default"
            found[key] = (_checked(key, value, who), who)
    return View(**{key: value for key, (value, _) in found.items()}, sources={k: who for k, (_, who) in found.items()})


def declared_view(
    *,
    image_size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    crop_pct: float = 1.0,
    interpolation: str = "bilinear",
    crop_mode: str = "center",
    antialias: bool = True,
) -> View:
    """The view of a model that says nothing itself, declared by its owner.

    Args:
        image_size: pixels, side of the square that the model sees, >= 1. Images of that size are taken as they are.
        mean, std: per channel, of RGB in [0, 1]; the model sees ``(image - mean) / std``. A model that normalises by
            itself has mean (0, 0, 0) and std (1, 1, 1).
        crop_pct: an image is resized to ``image_size / crop_pct`` before the square is cut; in (0, 1].
        interpolation: of the resize: ``bilinear``, ``bicubic``, ``nearest`` or ``nearest-exact``.
        crop_mode: ``center`` = the shorter side is resized and the central square cut; ``squash`` = both sides are.
        antialias: whether shrinking is low-passed.

    Raises:
        ConfigError: a value is out of range; the message names it.
    """
    given = {
        "image_size": image_size,
        "crop_pct": crop_pct,
        "interpolation": interpolation,
        "crop_mode": crop_mode,
        "mean": mean,
        "std": std,
        "antialias": antialias,
    }
    for key, value in given.items():
        try:
            given[key] = getattr(ViewOptions.model_validate({key: value}), key)
        except ValidationError:
            wanted = ViewOptions.model_fields[key].description
            raise ConfigError(f"view: {key} {value!r} is not allowed; {key}: {wanted}") from None
    return View(**given, sources=dict.fromkeys(given, "declared"))  # type: ignore[arg-type]


def _checked(key: str, value: Any, source: str) -> Any:
    """A value as the options would allow it."""
    try:
        return getattr(ViewOptions.model_validate({key: value}), key)
    except ValidationError:
        raise CheckpointError(
            f"classifier.view.{key}: {value!r}, as {source} says, is not supported here; choose another "
            f"classifier.view.{key} ({ViewOptions.model_fields[key].description})"
        ) from None


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ", ".join(f"{part:.6g}" for part in value) + "]" if isinstance(value, list) else f"{value}"
