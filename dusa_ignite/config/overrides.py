"""Overrides from the command line: ``section.key=value``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dusa_ignite.config.errors import look_up, shorten
from dusa_ignite.config.fields import choices, common_keys
from dusa_ignite.config.yaml_bounds import MAX_DEPTH, MAX_KEY, NOT_TEXT
from dusa_ignite.config.yaml_file import parse_yaml
from dusa_ignite.utils.section import default_choice


class Override(NamedTuple):
    """One override: as it was typed, the keys it leads to, and the value."""

    text: str
    keys: tuple[str, ...]
    value: Any


def parse_overrides(texts: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Take every ``section.key=value`` apart; the value is YAML.

    Returns:
        The overrides, and a line for every text with no ``=``, an empty key, or a value that is not YAML.
    """
    overrides, problems = [], []
    for text in texts:
        shown = shorten(text)
        key, equals, value = text.partition("=")
        keys = tuple(part.strip() for part in key.split("."))
        if not equals or not all(keys) or len(keys) > MAX_DEPTH or len(key) > MAX_KEY or not key.isprintable():
            problems.append(f"override {shown!r}: write section.key=value, such as optimizer.lr=1e-4")
            continue
        if NOT_TEXT.search(value):
            problems.append(f"override {shown!a}: has characters that are no text; letters need LC_ALL=C.UTF-8")
            continue
        try:
            overrides.append(Override(shown, keys, parse_yaml(value)))
        except yaml.composer.ComposerError as error:
            problems.append(f"override {shown!r}: {error.problem}")
        except (yaml.YAMLError, ValueError):
            problems.append(f"override {shown!r}: the value is not valid YAML; quote it if it is text")
    return overrides, problems


def apply_overrides(
    content: dict[str, Any], overrides: Sequence[Override], *, schema: type[BaseModel]
) -> list[tuple[Override, str]]:
    """Put overrides into a file's content, missing sections included.

    The order in which they were typed matters only between two of the same key, where the last one counts: whole
    sections go first, then the ``name`` of sections with a choice, then the other keys. Another ``name`` than the
    file's starts its section afresh with that choice's defaults; only the keys that all choices have are kept.

    Returns:
        The overrides that could not be applied, as they lead into something that is no section, each with its key.
    """
    blocked = []
    for override in sorted(overrides, key=lambda override: (len(override.keys), override.keys[1:] != ("name",))):
        *parents, last = override.keys
        section = content
        for depth, parent in enumerate(parents, start=1):
            inner = section.get(parent)
            if inner is not None and not isinstance(inner, dict):
                blocked.append((override, ".".join(parents[:depth])))
                break
            section[parent] = dict(inner or {})  # a copy: YAML anchors let two keys share one mapping
            section = section[parent]
        else:
            if override.keys[1:] == ("name",) and parents[0] in schema.model_fields:
                _choose(section, override.value, field=schema.model_fields[parents[0]])
            section[last] = override.value
    return blocked


def _choose(section: dict[str, Any], name: Any, *, field: FieldInfo) -> None:
    """Drop the keys that belong to another choice than ``name``."""
    if len(choices(field)) > 1 and section.get("name", default_choice(field)) != name:
        for key in set(section) - common_keys(field):
            del section[key]


def origin(keys: Sequence[str], overrides: Sequence[Override], *, content: Mapping[str, Any]) -> Override | None:
    """The last override behind one of the dotted keys; None = the file is.

    Behind a key is whatever set it, a part of it, or the section around it, and for a key without a value also the
    override that chose the section's ``name``.
    """
    for override in reversed(overrides):
        typed = ".".join(override.keys)
        for key in keys:
            if key == typed or key.startswith(f"{typed}.") or typed.startswith(f"{key}."):
                return override
            chosen = override.keys[1:] == ("name",) and key.startswith(f"{override.keys[0]}.")
            if chosen and look_up(content, key.split(".")) is None:
                return override
    return None
