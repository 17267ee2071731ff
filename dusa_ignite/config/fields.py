"""What a schema's fields are, read off their annotations."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def choices(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The sections a field may hold, by ``name`` where there is a choice, else under ``""``; none for a plain value."""
    models = [
        member for member in members(field.annotation) if isinstance(member, type) and issubclass(member, BaseModel)
    ]
    if field.discriminator:
        return {get_args(model.model_fields["name"].annotation)[0]: model for model in models}
    return {"": models[0]} if models else {}


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


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def literals(annotation: Any) -> list[str]:
    """The texts that are allowed besides other kinds of values; none where any text is."""
    kinds = [member for member in members(annotation) if get_origin(member) is Literal]
    return [value for kind in kinds for value in get_args(kind)]
