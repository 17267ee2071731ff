"""What the options of all parts share: a section of the config is a class that allows nothing it does not name."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator
from pydantic.fields import FieldInfo

from dusa_ignite.utils.paths import usable_path

LARGEST = 10**10  # far above any number that is meant, far below those that overflow


class Section(BaseModel):
    """No unknown keys, no silent conversion (``"5"`` is no number, ``true`` is not 1), nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*")
    @classmethod
    def _is_no_giant(cls, value: Any) -> Any:
        """Numbers that no computation here can use; options with a narrower range say so themselves."""
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and abs(number) > LARGEST:
                raise ValueError(f"{number!r} is not allowed; allowed: numbers up to {LARGEST:.0e}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_choices(cls, content: Any) -> Any:
        """``optimizer: {lr: 1.0e-4}`` leaves the choice of the optimizer to the default."""
        if not isinstance(content, dict):
            return content
        defaults = {key: default_choice(field) for key, field in cls.model_fields.items()}
        open_choices = {key for key, name in defaults.items() if name and isinstance(content.get(key), dict)}
        return {**content, **{key: {"name": defaults[key], **content[key]} for key in open_choices}}


class Problem(NamedTuple):
    """One thing that is wrong with a config: the dotted keys involved, the one at fault first, and what is wrong."""

    keys: tuple[str, ...]
    text: str


def default_choice(field: FieldInfo) -> str | None:
    """The ``name`` that a section with a choice has where none is given; ``None`` = it must be given."""
    return None if field.is_required() or not field.discriminator else field.default.name


def as_tuple(value: Any) -> Any:
    """YAML's lists are tuples here, so that nothing can change them."""
    return tuple(value) if isinstance(value, list) else value


def distinct(values: tuple) -> tuple:
    """The values, none of which may stand there twice."""
    repeated = sorted(str(value) for value, times in Counter(values).items() if times > 1)
    if repeated:
        raise ValueError(f"{', '.join(repeated)} listed more than once")
    return values


PathText = Annotated[str, AfterValidator(usable_path)]
"""A path in YAML, or a text that may be one."""

Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
"""A list of texts in YAML."""

Distinct = AfterValidator(distinct)
"""For annotations: no value of a list may stand there twice."""
