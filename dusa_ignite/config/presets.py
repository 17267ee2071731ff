"""Per-method settings within a config file: the section ``presets``.

    presets:
      tent: {classifier: {trainable: norm}, optimizer: {name: sgd, lr: 1.0e-3}}

When ``method.name=tent`` is chosen, by the file or by an override, the preset changes the rest of the file like
overrides typed before all others. So one file holds a model's published settings for every method. A preset by another
name is a variant of the method that it names, chosen in the same way, ``method.name=dusa_frozen``:

    presets:
      dusa_frozen: {method: {name: dusa}, transformer: {trainable: false}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dusa_ignite.config.errors import look_up, shorten
from dusa_ignite.config.overrides import Override


class Preset(NamedTuple):
    """One entry of the section: the method it is for, and what it changes."""

    method: str
    overrides: list[Override]


def take_presets(content: dict[str, Any], *, methods: Sequence[str]) -> tuple[dict[str, Preset], list[str]]:
    """Remove the section from a file's content.

    Args:
        content: of the file; loses ``presets``.
        methods: that there are.

    Returns:
        The presets by name, and a line for each that is for no method or is no mapping.
    """
    presets = content.pop("presets", None) or {}
    example = "write a mapping of methods to sections, such as tent: {optimizer: {lr: 1.0e-3}}"
    if not isinstance(presets, dict):
        return {}, [f"presets: {example}"]
    found, problems = {}, []
    for name, preset in presets.items():
        if not isinstance(preset, dict):
            problems.append(f"presets.{name}: {example}")
            continue
        method = look_up(preset, ["method", "name"])
        if name in methods and method not in (None, name):
            problems.append(f"presets.{name}.method.name: {method!r} is not allowed here; a variant has another name")
        elif name not in methods and method not in methods:
            problems.append(
                f"presets.{name}: there is no such method; there are {', '.join(methods)}; "
                "a variant says of which: {method: {name: dusa}}"
            )
        else:
            method = name if name in methods else method
            choice = Override(f"presets.{name}", ("method", "name"), method)
            found[name] = Preset(method, [choice, *_flat(preset, keys=(), text=f"presets.{name}")])
    return found, problems


def chosen_method(content: dict[str, Any], typed: Sequence[Override]) -> str | None:
    """The method's name that a file and the command line choose; ``None`` = neither does."""
    section = content.get("method")
    chosen = section.get("name") if isinstance(section, dict) else None
    for override in typed:
        if override.keys == ("method", "name"):
            chosen = override.value
        elif override.keys == ("method",) and isinstance(override.value, dict):
            chosen = override.value.get("name", chosen)
    return chosen if isinstance(chosen, str) else None


def replace_variants(
    content: dict[str, Any], typed: Sequence[Override], presets: Mapping[str, Preset]
) -> list[Override]:
    """Put the method in the place of a variant's name, in a file's content and in overrides; returns the latter."""

    def named(name: Any) -> Any:
        return presets[name].method if isinstance(name, str) and name in presets else name

    def section(value: Any) -> Any:
        return {**value, "name": named(value["name"])} if isinstance(value, dict) and "name" in value else value

    if "method" in content:
        content["method"] = section(content["method"])
    replace = {("method", "name"): named, ("method",): section}
    return [
        override._replace(value=replace[override.keys](override.value)) if override.keys in replace else override
        for override in typed
    ]


def _flat(preset: dict[str, Any], *, keys: tuple[str, ...], text: str) -> Iterator[Override]:
    for key, value in preset.items():
        path, name = (*keys, str(key)), f"{text}.{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, keys=path, text=name)
        else:
            yield Override(shorten(f"{name}={value}"), path, value)
