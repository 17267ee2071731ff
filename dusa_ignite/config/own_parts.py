"""The schema of one config file: the package's, and the methods and data sets of the user's own that the file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

from pydantic import BaseModel, Field, create_model

from dusa_ignite.config.errors import look_up
from dusa_ignite.config.fields import choices, members
from dusa_ignite.config.overrides import Override
from dusa_ignite.data import DataSet
from dusa_ignite.errors import ConfigError
from dusa_ignite.methods import Method
from dusa_ignite.methods.find import find_method
from dusa_ignite.utils.own_parts import is_reference, load_part, part_sha256
from dusa_ignite.utils.section import Section

Schema = TypeVar("Schema", bound=BaseModel)
KEYS = {"method": "method.name", "data": "data.name"}  # sections whose name may be a reference
REFERENCES = (*KEYS.values(), "classifier.name", "transformer.family")  # all keys that may hold one


def extended_schema(schema: type[Schema], content: Mapping[str, Any], typed: Sequence[Override]) -> type[Schema]:
    """The schema, with the options of every part of the user's own that a file or the command line names.

    Raises:
        ConfigError: a reference leads nowhere, or to something else.
    """
    fields: dict[str, Any] = {}
    for section in KEYS.keys() & schema.model_fields.keys():
        found = dict.fromkeys(name for name in _names(section, content, typed) if is_reference(name))
        if not found:
            continue
        field = schema.model_fields[section]
        own = [_named(_options(section, reference), reference) for reference in found]
        default = {} if field.is_required() else {"default": field.default}
        fields[section] = (
            Union[(*members(field.annotation), *own)],
            Field(**default, discriminator="name", description=field.description),
        )
    return create_model(schema.__name__, __base__=schema, __doc__=schema.__doc__, **fields) if fields else schema


def own_parts(config: BaseModel) -> dict[str, str]:
    """The SHA-256 of the file of every part of the user's own in a config, by its reference."""
    content = config.model_dump(mode="json")
    names = {key: look_up(content, key.split(".")) for key in REFERENCES}
    return {name: part_sha256(name, key=key) for key, name in names.items() if is_reference(name)}


def _names(section: str, content: Mapping[str, Any], typed: Sequence[Override]) -> Iterator[Any]:
    """Everything that the file, its presets and the command line give as a section's name."""
    yield look_up(content, [section, "name"])
    presets = content.get("presets")
    for name, preset in presets.items() if isinstance(presets, dict) else ():
        yield name if section == "method" else None
        yield look_up(preset, [section, "name"])
    for override in typed:
        if override.keys == (section, "name"):
            yield override.value
        elif override.keys == (section,):
            yield look_up(override.value, ["name"])


def _options(section: str, reference: str) -> type[Section]:
    """The section's class that belongs to a part of the user's own."""
    if section == "method":
        options = find_method(reference).Options
        if not (isinstance(options, type) and issubclass(options, Method.Options)):
            raise ConfigError(f"method.name: {reference}: its class Options is not a subclass of Method.Options")
        return options
    part = load_part(reference, key=KEYS[section])
    if not (isinstance(part, type) and issubclass(part, DataSet)):
        raise ConfigError(f"{KEYS[section]}: {reference} is not a subclass of dusa_ignite.data.DataSet")
    return part


def _named(options: type[Section], reference: str) -> type[Section]:
    """The same options under the name that stands in the config."""
    literal: Any = Literal[reference]
    return create_model(options.__name__, __base__=options, __doc__=options.__doc__, name=(literal, reference))


def known_names(schema: type[BaseModel], section: str) -> list[str]:
    """What a section's ``name`` can be."""
    return list(choices(schema.model_fields[section]))
