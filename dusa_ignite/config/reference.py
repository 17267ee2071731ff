"""All options of a config, for editors (JSON schema) and for readers (Markdown)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dusa_ignite.config.fields import choices, literals
from dusa_ignite.config.yaml_file import to_yaml_value
from dusa_ignite.utils.own_parts import REFERENCE

OWN_NAMES = {"method": "method", "data": "data set"}  # sections whose name may be a reference to a part of one's own


def json_schema(config: type[BaseModel]) -> str:
    """The JSON schema (draft 2020-12) of a config file, with the section ``presets`` and parts of the user's own."""
    schema = config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    sections = schema["properties"]
    if "method" in sections:
        presets = "what changes with the method, by its name or the name of a variant"
        sections["presets"] = {
            "type": ["object", "null"],
            "additionalProperties": {"type": "object"},
            "description": presets,
        }
    for choice in _with_a_choice(schema):
        _tell_apart(choice, schema["$defs"])
    for section, kind in OWN_NAMES.items():
        if "oneOf" in sections.get(section, {}):
            name = {"type": "string", "pattern": f"^{REFERENCE.pattern}$", "description": f"a {kind} of your own"}
            sections[section]["oneOf"].append({"type": "object", "properties": {"name": name}, "required": ["name"]})
    return json.dumps(schema, indent=1) + "\n"


def _with_a_choice(schema: Any) -> Iterator[dict[str, Any]]:
    """The parts of a schema that are one of several sections, told apart by ``name``."""
    if isinstance(schema, dict) and "discriminator" in schema:
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _with_a_choice(inner)


def _tell_apart(choice: dict[str, Any], sections: dict[str, Any]) -> None:
    """A section without a name is the default choice; all others must have one."""
    names = choice.pop("discriminator")["mapping"]
    for name, reference in names.items():
        section = sections[reference.rpartition("/")[2]]
        if name != choice.get("default", {}).get("name") and "name" not in section.get("required", []):
            section["required"] = ["name", *section.get("required", [])]


def markdown(config: type[BaseModel]) -> str:
    """A page with a table per section and per choice: key, what is allowed, default, meaning."""
    return "\n".join(_page(config)).rstrip() + "\n"


def _page(config: type[BaseModel]) -> Iterator[str]:
    yield "# All options"
    yield ""
    yield "This page is made by `dusa-ignite schema --markdown`. A name that says *required* has no default."
    yield ""
    yield "## The top level"
    yield from _table({name: field for name, field in config.model_fields.items() if not choices(field)})
    for name, field in config.model_fields.items():
        if choices(field):
            yield from _section(name, field)


def _section(key: str, field: FieldInfo) -> Iterator[str]:
    yield ""
    yield f"## `{key}`"
    yield ""
    yield f"{_sentence(field.description)}{_default_of_section(field)}"
    for choice, model in choices(field).items():
        if choice:
            yield ""
            yield f"### `{key}.name: {choice}`"
        yield ""
        yield _sentence(inspect.getdoc(model) or "")
        own = {name: inner for name, inner in model.model_fields.items() if not (choice and name == "name")}
        if own:
            yield from _table(own)
        for name, inner in own.items():
            if choices(inner):
                yield from _section(f"{key}.{name}", inner)


def _table(fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield ""
    yield "| key | default | meaning |"
    yield "| --- | --- | --- |"
    for name, field in fields.items():
        default = "*required*" if field.is_required() else f"`{_shown(field.default)}`"
        if choices(field):
            default = "*section below*"
        yield f"| `{name}` | {default} | {_cell(field)} |"


def _cell(field: FieldInfo) -> str:
    """What an option is, and its values where there are only some."""
    values = " \\| ".join(f"`{value}`" for value in literals(field.annotation))
    meaning = (field.description or "").replace("|", "\\|").replace("<", "&lt;")
    return f"{values}: {meaning}" if values else meaning


def _shown(value: Any) -> str:
    return to_yaml_value(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)


def _default_of_section(field: FieldInfo) -> str:
    if field.is_required():
        return " It is required."
    if field.default is None:
        return " Without it: `null`."
    return f" Default: `{field.default.name}`." if field.discriminator else ""


def _sentence(text: str | None) -> str:
    text = " ".join((text or "").split())
    return f"{text[:1].upper()}{text[1:]}" + ("" if not text or text.endswith(".") else ".")
