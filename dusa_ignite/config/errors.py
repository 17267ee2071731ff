"""From pydantic's errors to lines that name the key, the value and what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from dusa_ignite.config.fields import all_keys, choices, members
from dusa_ignite.utils.section import Problem


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
    of_items: set[str] = set()  # what is wrong within a list says more than that a list is not something else
    for details in error.errors():
        cause = details.get("ctx", {}).get("error")
        place = _locate(details["loc"], schema)
        own = cause.problems if isinstance(cause, Problems) else [_problem(details, place, schema, content)]
        for problem in own:
            key = problem.keys[0]
            if place.item is not None and key not in of_items:
                found[key] = problem
                of_items.add(key)
            found.setdefault(key, problem)
    return list(found.values())


class _Place(NamedTuple):
    """Where a location of pydantic's leads: the keys a user types, and the innermost section around them."""

    keys: list[str]
    field: FieldInfo | None  # None = the last key is unknown
    section: type[BaseModel]
    siblings: dict[str, type[BaseModel]]  # that section's alternatives
    item: int | None  # of a list, from 0


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
    item = next((part for part in reversed(parts) if isinstance(part, int)), None)
    return _Place(keys, field, section, siblings, item)


def _problem(details: Any, place: _Place, schema: type[BaseModel], content: Mapping[str, Any]) -> Problem:
    key, field = ".".join(place.keys), place.field
    if field is None:
        return Problem((key,), _unknown_key(place, schema))
    cause = details.get("ctx", {}).get("error")
    if cause is not None:
        return Problem((key,), shorten(" ".join(str(cause).split()), 1000))
    if details["type"] in ("union_tag_not_found", "union_tag_invalid"):
        name = look_up(content, [*place.keys, "name"])
        reason = "missing" if details["type"] == "union_tag_not_found" else f"{show(name)} is not allowed"
        return Problem((f"{key}.name",), f"{reason}; allowed: {' | '.join(choices(field))}")
    if choices(field) and details["type"] != "missing":
        return Problem((key,), f"{show(details['input'])} should be a mapping {_content(field)}")
    return Problem((key,), _said(details, key, place.item) + (f" ({field.description})" if field.description else ""))


def _content(field: FieldInfo) -> str:
    """What a section holds."""
    options = choices(field)
    keys = ", ".join(options[""].model_fields) if "" in options else f"name: {' | '.join(options)}"
    return f"({keys})" + (", or null" if type(None) in members(field.annotation) else "")


def _said(details: Any, key: str, item: int | None) -> str:
    """Pydantic's own text about a value, with the value for its subject and YAML's words for what Python calls else."""
    value = details["input"]
    if details["type"] == "missing":
        return "missing" if item is None else f"{show(value)} has no item {item + 1}"
    text = re.sub(r"^\w+(?= should )", lambda _: show(value), details["msg"])
    text = text.replace("a valid tuple", "a list").replace("a valid boolean", "true or false")
    if details["type"] == "string_type" and isinstance(value, (bool, int, float)):
        return f"{text}: quote it" + (f""", on the command line {key}='"{show(value)}"'""" if item is None else "")
    if isinstance(value, str) and details["type"] in ("int_type", "float_type", "bool_type"):
        return text.replace(" should ", " is text and should ", 1)
    return text if " should " in text else f"{show(value)}: {text}"


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
    value = list(value) if isinstance(value, tuple) else value
    return shorten(constants[value] if value is None or isinstance(value, bool) else repr(value), limit)


def shorten(text: str, limit: int = 200) -> str:
    """A text, cut if long."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
