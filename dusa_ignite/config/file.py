"""From a YAML file and overrides to a checked config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dusa_ignite.config.errors import problems_of
from dusa_ignite.config.fields import choices
from dusa_ignite.config.overrides import Override, apply_overrides, origin, parse_override
from dusa_ignite.config.presets import take_presets
from dusa_ignite.config.schema import Config
from dusa_ignite.config.yaml_file import read_mapping
from dusa_ignite.errors import ConfigError

Schema = TypeVar("Schema", bound=BaseModel)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a run's configuration.

    Args:
        path: a YAML file, see ``configs/``.
        overrides: ``section.key=value`` each, the value in YAML: ``data.severities=[3]``. A whole section can be
            replaced (``time={name: uniform, t_min: 0.1}``) and a missing one begun (``norm_ema.decay=0.9``). Another
            ``name`` than the file's starts its section afresh with that choice's defaults, keeping only the keys that
            all choices have: ``method.name=source``, ``time.name=uniform time.t_min=0.2``, in any order.

    Raises:
        ConfigError: naming every problem there is, one per line: the key, its value and what is allowed.
    """
    return read_config(path, overrides, schema=Config)


def read_config(path: str | Path, overrides: Sequence[str] = (), *, schema: type[Schema]) -> Schema:
    """:func:`load_config` for any schema, whose sections with a choice are unions told apart by ``name``."""
    content = read_mapping(path)
    typed = [parse_override(text) for text in overrides]
    preset: list[Override] = []
    if "method" in schema.model_fields:
        preset = take_presets(content, typed, methods=list(choices(schema.model_fields["method"])))
        apply_overrides(content, preset, schema=schema)
    apply_overrides(content, typed, schema=schema)
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        lines = []
        for problem in problems_of(error, schema=schema, content=content):
            override = origin(problem.keys, [*preset, *typed], content=content)
            source = f"override {override.text}" if override else path
            lines.append(f"{source}: {problem.keys[0]}: {problem.text}")
        raise ConfigError("\n".join(lines)) from error
