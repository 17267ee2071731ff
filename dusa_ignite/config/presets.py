"""Per-method settings within a config file: the section ``presets``.

    presets:
      tent: {classifier: {trainable: norm}, optimizer: {name: sgd, lr: 1.0e-3}}

When ``method.name=tent`` is chosen, by the file or by an override, the preset changes the rest of the file like
overrides typed before all others. So one file holds a model's published settings for every method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dusa_ignite.config.overrides import Override


def take_presets(content: dict[str, Any], *, methods: Sequence[str]) -> tuple[dict[str, list[Override]], list[str]]:
    """Remove the section from a file's content.

    Args:
        content: of the file; loses ``presets``.
        methods: that there are.

    Returns:
        Every method's preset as overrides, and a line for each preset that is for no method or is no mapping.
    """
    presets = content.pop("presets", None) or {}
    example = "write a mapping of methods to sections, such as tent: {optimizer: {lr: 1.0e-3}}"
    if not isinstance(presets, dict):
        return {}, [f"presets: {example}"]
    found, problems = {}, []
    for name, preset in presets.items():
        if name not in methods:
            problems.append(f"presets.{name}: there is no such method; there are {', '.join(methods)}")
        elif not isinstance(preset, dict):
            problems.append(f"presets.{name}: {example}")
        else:
            choice = Override(f"presets.{name}", ("method", "name"), name)
            found[name] = [choice, *_flat(preset, keys=(), text=f"presets.{name}")]
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


def _flat(preset: dict[str, Any], *, keys: tuple[str, ...], text: str) -> Iterator[Override]:
    for key, value in preset.items():
        path, name = (*keys, str(key)), f"{text}.{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, keys=path, text=name)
        else:
            yield Override(f"{name}={value}", path, value)
