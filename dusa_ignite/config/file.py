"""From a YAML file and overrides to a checked config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dusa_ignite.config.agreement import contradictions
from dusa_ignite.config.errors import look_up, problems_of
from dusa_ignite.config.overrides import Override, apply_overrides, origin, parse_overrides
from dusa_ignite.config.own_parts import KEYS, extended_schema, known_names
from dusa_ignite.config.presets import chosen_method, replace_variants, take_presets
from dusa_ignite.config.schema import Config
from dusa_ignite.config.yaml_file import read_mapping
from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.section import Problem, default_choice

Schema = TypeVar("Schema", bound=BaseModel)
MAX_LINES = 20  # of an error


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a run's configuration.

    Args:
        path: a YAML file, see ``configs/``.
        overrides: ``section.key=value`` each, the value in YAML: ``data.severities=[3]``. A whole section can be
            replaced (``time={name: uniform, t_min: 0.1}``) and a missing one begun (``norm_ema.decay=0.9``). Another
            ``name`` than the file's starts its section afresh with that choice's defaults, keeping only the keys that
            all choices have: ``method.name=source``, ``time.name=uniform time.t_min=0.2``, in any order. The name of a
            method or a data set may be a reference to a class of your own, ``method.name=path/to/file.py:MyMethod``.

    Raises:
        ConfigError: naming every problem there is, one per line: the key, its value and what is allowed.
    """
    return read_config(path, overrides, schema=Config)


def read_config(path: str | Path, overrides: Sequence[str] = (), *, schema: type[Schema]) -> Schema:
    """:func:`load_config` for any schema, whose sections with a choice are unions told apart by ``name``."""
    content = read_mapping(path)
    typed, lines = parse_overrides(overrides)
    schema = extended_schema(schema, content, typed)
    preset: list[Override] = []
    variants: list[str] = []
    if "method" in schema.model_fields:
        presets, problems = take_presets(content, methods=known_names(schema, "method"))
        lines += [f"{path}: {problem}" for problem in problems]
        chosen = chosen_method(content, typed)
        variants = [name for name, other in presets.items() if name != other.method]
        typed = replace_variants(content, typed, presets)
        for name, other in presets.items():
            if name == chosen:
                preset = other.overrides
            else:  # wrong ones are shown before they are chosen
                lines += _preset_problems(other.overrides, typed, content, schema, path)
        lines += _blocked_lines(apply_overrides(content, preset, schema=schema), path)
    blocked = apply_overrides(content, typed, schema=schema)
    applied = [override for override in typed if override not in [one for one, _ in blocked]]
    config, problems_found = _validate(content, schema)
    wrong = {problem.keys[0] for problem in problems_found}
    lines += [f"override {override.text!r}: {key} is not a section" for override, key in blocked if key not in wrong]
    for problem in problems_found:
        if problem.keys[0] in KEYS.values():
            others = variants if problem.keys[0] == "method.name" else []
            problem = problem._replace(text=" | ".join([problem.text, *others]) + ", or path/to/file.py:Name")
        override = origin(problem.keys, applied, content=content)
        lines.append(_line(problem, override or origin(problem.keys, preset, content=content), path))
    if config is None or lines:
        more = f"\n... and {len(lines) - MAX_LINES} more" if len(lines) > MAX_LINES else ""
        raise ConfigError("\n".join(lines[:MAX_LINES]) + more)
    return config


def method_names(path: str | Path) -> dict[str, str]:
    """What ``method.name`` can be with a file, and the method that is meant: the methods, and the file's variants.

    Raises:
        ConfigError: the file cannot be read.
    """
    content = read_mapping(path)
    methods = known_names(extended_schema(Config, content, []), "method")
    presets, _ = take_presets(content, methods=methods)
    return {method: method for method in methods} | {name: preset.method for name, preset in presets.items()}


def validate(content: dict[str, Any]) -> Config:
    """A config from plain values that were one before."""
    return extended_schema(Config, content, []).model_validate(content)


def _validate(content: dict[str, Any], schema: type[Schema]) -> tuple[Schema | None, list[Problem]]:
    """The config, or everything that is wrong: within sections, and between those that are right in themselves."""
    sections: dict[str, Any] = {}
    try:
        return schema.model_validate(content, context=sections), []
    except ValidationError as error:
        problems = problems_of(error, schema=schema, content=content)
    if issubclass(schema, Config):
        name = look_up(content, ["method", "name"]) or default_choice(schema.model_fields["method"])
        known = {problem.keys[0] for problem in problems}
        if name in known_names(schema, "method"):
            found = contradictions(name, sections)
            problems += [problem for problem in found if problem.keys[0] not in known]
    return None, problems


def _preset_problems(
    preset: Sequence[Override],
    typed: Sequence[Override],
    content: dict[str, Any],
    schema: type[Schema],
    path: str | Path,
) -> list[str]:
    """What would be wrong with the rest of the file and of the command line if another method were chosen."""
    trial, others = dict(content), [override for override in typed if override.keys[0] != "method"]
    lines = _blocked_lines(apply_overrides(trial, preset, schema=schema), path)
    apply_overrides(trial, others, schema=schema)
    for problem in _validate(trial, schema)[1]:
        override = origin(problem.keys[:1], [*preset[1:], *others], content=trial)
        if override in preset:
            lines.append(_line(problem, override, path))
    return lines


def _blocked_lines(blocked: Sequence[tuple[Override, str]], path: str | Path) -> list[str]:
    return [f"{path}: {override.text}: {key} is not a section" for override, key in blocked]


def _line(problem: Problem, override: Override | None, path: str | Path) -> str:
    source = str(path)
    if override:
        source = f"{path}: {override.text}" if override.text.startswith("presets.") else f"override {override.text}"
    return f"{source}: {problem.keys[0]}: {problem.text}"
