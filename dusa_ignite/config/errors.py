"""From pydantic's errors to lines that name the key, the value and what is allowed."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dusa_ignite.config.agreement import Problem
from dusa_ignite.config.fields import all_keys, allowed, choices

REASONS = {
    "int_type": "is not an integer",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_type": "is neither true nor false",
    "string_type": "is not text",
    "tuple_type": "is not a list",
    "dict_type": "is not a mapping",
    "model_type": "is not a mapping",
    "model_attributes_type": "is not a mapping",
}


class Problems(ValueError):
    """Raised by a validator that looks at several sections and finds contradictions between them."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.keys[0]}: {problem.text}" for problem in problems))
        self.problems = problems


def problems_of(error: ValidationError, *, schema: type[BaseModel], content: Mapping[str, Any]) -> list[Problem]:
    """Every problem once, in the schema's order.

    Args:
        error: what validating ``content`` against ``schema`` raised.
        schema: the whole file's schema.
        content: the whole file, overrides applied.
    """
    found: dict[str, Problem] = {}
    for details in error.errors():
        cause = details.get("ctx", {}).get("error")
        own = cause.problems if isinstance(cause, Problems) else [_problem(details, schema, content, cause)]
        for problem in own:
            found.setdefault(problem.keys[0], problem)
    return list(found.values())


class _Place(NamedTuple):
    """Where a location of pydantic's leads: the keys a user types, and the innermost section around them."""

    keys: list[str]
    field: FieldInfo | None  # None = the last key is unknown
    section: type[BaseModel]
    siblings: dict[str, type[BaseModel]]  # that section's alternatives
    complete: bool  # False: inside a value, such as one item of a list


def _locate(location: tuple[int | str, ...], schema: type[BaseModel]) -> _Place:
    """Follow a location through the schema, leaving out what pydantic adds: names of choices, numbers of items."""
    parts, keys = list(location), []
    section, siblings, field = schema, {"": schema}, None
    while parts:
        key = parts.pop(0)
        keys.append(str(key))
        field = section.model_fields.get(key) if isinstance(key, str) else None
        options = choices(field) if field else {}
        if not options or not parts:
            break
        siblings = options
        section = options[""] if "" in options else options[str(parts.pop(0))]
    return _Place(keys, field, section, siblings, complete=not parts)


def _problem(details: Any, schema: type[BaseModel], content: Mapping[str, Any], cause: Exception | None) -> Problem:
    place, kind = _locate(details["loc"], schema), details["type"]
    key = ".".join(place.keys)
    if place.field is None:
        return Problem((key,), _unknown_key(place, schema))
    if cause is not None:
        return Problem((key,), str(cause))
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        place.keys.append("name")
        names = " | ".join(choices(place.field))
        name = look_up(content, place.keys)
        reason = "missing" if kind == "union_tag_not_found" else f"{show(name)} is not allowed"
        return Problem((f"{key}.name",), f"{reason}; allowed: {names}")
    if kind == "missing" and place.complete:
        return Problem((key,), f"missing; allowed: {allowed(place.field)}")
    value = look_up(content, place.keys)
    fitting = REASONS if place.complete and value is not None else {}
    reason = fitting.get(kind, "is not allowed")
    if kind == "string_type" and fitting:
        reason += f""" (quote it, on the command line {key}='"{show(value)}"')"""
    return Problem((key,), f"{show(value)} {reason}; allowed: {allowed(place.field)}")


def _unknown_key(place: _Place, schema: type[BaseModel]) -> str:
    *parents, name = place.keys
    prefix = ".".join(parents)
    elsewhere = [choice for choice, model in place.siblings.items() if name in model.model_fields]
    if elsewhere:
        return f"unknown key here; it belongs to {prefix}.name={' | '.join(elsewhere)}"
    close = difflib.get_close_matches(name, place.section.model_fields, n=1, cutoff=0.6)
    if close:
        return f"unknown key; did you mean {'.'.join([*parents, *close])}?"
    everywhere = all_keys(schema)
    same = [key for key in everywhere if key.split(".")[-1] == name]
    if same:
        return f"unknown key; did you mean {same[0]}?"
    return f"unknown key; {prefix or 'the config'} has {', '.join(place.section.model_fields)}"


def look_up(content: Any, keys: Sequence[str]) -> Any:
    """The value that keys lead to in nested mappings; None = there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def show(value: Any, limit: int = 80) -> str:
    """A value as it stands in YAML, cut if long."""
    constants = {None: "null", True: "true", False: "false"}
    text = constants[value] if value is None or isinstance(value, bool) else repr(value)
    if isinstance(value, datetime.date):  # YAML reads 2026-11-25 as one
        text = value.isoformat()
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
