"""What a schema's fields are and allow, read off their annotations."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

SCALARS = {int: "an integer", float: "a number", str: "text", dict: "a mapping"}


def choices(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The sections a field may hold, by ``name`` where there is a choice, else under ``""``; none for a plain value."""
    models = [
        member for member in _members(field.annotation) if isinstance(member, type) and issubclass(member, BaseModel)
    ]
    if field.discriminator:
        return {get_args(model.model_fields["name"].annotation)[0]: model for model in models}
    return {"": models[0]} if models else {}


def default_choice(field: FieldInfo) -> str | None:
    """The ``name`` that a section with a choice has where none is given; None = it must be given."""
    return None if field.is_required() or not field.discriminator else field.default.name


def common_keys(field: FieldInfo) -> set[str]:
    """The keys that all choices of a section have."""
    return set.intersection(*(set(model.model_fields) for model in choices(field).values()))


def all_keys(schema: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of a schema, those of all choices included, without duplicates."""
    keys: dict[str, None] = {}
    for name, field in schema.model_fields.items():
        keys[f"{prefix}{name}"] = None
        for model in choices(field).values():
            keys.update(dict.fromkeys(all_keys(model, f"{prefix}{name}.")))
    return list(keys)


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words: ``an integer >= 1, or null``."""
    options = choices(field)
    if options:
        only = next(iter(options.values()))
        text = f"name {' | '.join(options)}" if field.discriminator else f"keys {', '.join(only.model_fields)}"
        return f"a mapping with {text}" + (", or null" if type(None) in _members(field.annotation) else "")
    text = _in_words(field.annotation, field.metadata)
    return f"{text} ({field.description})" if str in _members(field.annotation) and field.description else text


def nearest(name: str, known: Iterable[str]) -> str:
    """The most similar of the known names."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _in_words(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        return _in_words(annotation, [*inner, *metadata])
    members = _members(annotation)
    if len(members) > 1:
        words = " | ".join(_in_words(member, metadata) for member in members if member is not type(None))
        return words + (", or null" if type(None) in members else "")
    if get_origin(annotation) is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if annotation is bool:
        return "true | false"
    if get_origin(annotation) is tuple:
        item, *rest = get_args(annotation)
        filled = "non-empty " if any(isinstance(entry, annotated_types.MinLen) for entry in metadata) else ""
        return f"a {filled}list{'' if rest == [...] else f' of {1 + len(rest)}'}, each {_in_words(item)}"
    bounds = " and ".join(_bounds(metadata))
    return SCALARS[get_origin(annotation) or annotation] + (f" {bounds}" if bounds else "")


def _bounds(metadata: Iterable[Any]) -> list[str]:
    bounds = []
    for entry in metadata:
        if isinstance(entry, FieldInfo):
            bounds += _bounds(entry.metadata)
        elif isinstance(entry, annotated_types.Ge):
            bounds.append(f">= {entry.ge}")
        elif isinstance(entry, annotated_types.Gt):
            bounds.append(f"> {entry.gt}")
        elif isinstance(entry, annotated_types.Le):
            bounds.append(f"<= {entry.le}")
        elif isinstance(entry, annotated_types.Lt):
            bounds.append(f"< {entry.lt}")
        elif isinstance(entry, annotated_types.MultipleOf):
            bounds.append(f"a multiple of {entry.multiple_of}")
    return bounds
