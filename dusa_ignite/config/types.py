"""What all sections share: strictness, and types for numbers and lists as YAML writes them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dusa_ignite.config.fields import default_choice


class Section(BaseModel):
    """No unknown keys, no silent conversion (``"5"`` is no number, ``true`` is not 1), nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _default_choices(cls, content: Any) -> Any:
        """``optimizer: {lr: 1.0e-4}`` leaves the choice of the optimizer to the default."""
        if not isinstance(content, dict):
            return content
        defaults = {key: default_choice(field) for key, field in cls.model_fields.items()}
        open_choices = {key for key, name in defaults.items() if name and isinstance(content.get(key), dict)}
        return {**content, **{key: {"name": defaults[key], **content[key]} for key in open_choices}}


def read_number(value: Any) -> Any:
    """YAML 1.1, and so PyYAML, takes 1e-5 (without a point) for text."""
    is_scientific = isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value)
    return float(value) if is_scientific else value


def read_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[float, BeforeValidator(read_number)]
Betas = Annotated[
    tuple[Annotated[Number, Field(ge=0, lt=1)], Annotated[Number, Field(ge=0, lt=1)]], BeforeValidator(read_list)
]
Severities = Annotated[tuple[Annotated[int, Field(ge=1, le=5)], ...], BeforeValidator(read_list)]
