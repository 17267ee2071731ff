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
from dusa_ignite.errors import ConfigError


def take_presets(content: dict[str, Any], typed: Sequence[Override], *, methods: Sequence[str]) -> list[Override]:
    """Remove the section from a file's content; return the chosen method's part of it as overrides.

    Args:
        content: of the file; loses ``presets``.
        typed: the overrides of the command line, which may choose the method.
        methods: that there are.

    Raises:
        ConfigError: a preset is for no method, or is no mapping.
    """
    presets = content.pop("presets", None) or {}
    if not isinstance(presets, dict) or not all(isinstance(preset, dict) for preset in presets.values()):
        raise ConfigError("presets: write a mapping of methods to sections, such as tent: {optimizer: {lr: 1.0e-3}}")
    unknown = [name for name in presets if name not in methods]
    if unknown:
        raise ConfigError(f"presets.{unknown[0]}: there is no such method; there are {', '.join(methods)}")
    chosen = _chosen_method(content, typed)
    if chosen not in presets:
        return []
    choice = Override(f"presets.{chosen}", ("method", "name"), chosen)
    return [choice, *_flat(presets[chosen], keys=(), text=f"presets.{chosen}")]


def _chosen_method(content: dict[str, Any], typed: Sequence[Override]) -> Any:
    section = content.get("method")
    chosen = section.get("name") if isinstance(section, dict) else None
    for override in typed:
        if override.keys == ("method", "name"):
            chosen = override.value
        elif override.keys == ("method",) and isinstance(override.value, dict):
            chosen = override.value.get("name", chosen)
    return chosen


def _flat(preset: dict[str, Any], *, keys: tuple[str, ...], text: str) -> Iterator[Override]:
    for key, value in preset.items():
        path, name = (*keys, str(key)), f"{text}.{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, keys=path, text=name)
        else:
            yield Override(f"{name}={value}", path, value)
