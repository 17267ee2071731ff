"""The variants of an update that are measured side by side: names for overrides of a config, all in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dusa_ignite.errors import ConfigError

TEXTBOOK, SHIPPED = "textbook", "shipped"
# Name: overrides. A word without "=" is the name of another one, whose overrides are taken over.
BUILT_IN: dict[str, tuple[str, ...]] = {
    TEXTBOOK: (),  # the config as it is, but with the update of dusa_ignite.runs.bench.textbook
    SHIPPED: (),
    "sampled": ("method.transformer_backward=sampled",),
    "tf32": ("run.tf32=true",),
    "bf16_classifier": ("classifier.precision=bfloat16",),
    "compiled": ("run.compile=blocks",),
    "micro32": ("data.micro_batch_size=32",),
    "micro16": ("data.micro_batch_size=16",),
    "channels_last": ("classifier.channels_last=true",),
    "not_deterministic": ("run.deterministic=false",),
    "fast_tf32": ("tf32", "compiled", "channels_last", "not_deterministic", "micro16"),
    "fast": ("fast_tf32", "bf16_classifier"),
    "fast_sampled_tf32": ("fast_tf32", "micro32", "sampled"),
    "fast_sampled": ("fast", "micro32", "sampled"),
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A way to make the update.

    Attributes:
        name: in the tables.
        overrides: of the config, ``section.key=value`` each; a later one of the same key wins.
    """

    name: str
    overrides: tuple[str, ...] = ()


def read_variants(text: str) -> list[Variant]:
    """Variants of ``shipped,sampled,mine:run.tf32=true;data.micro_batch_size=16``.

    Args:
        text: names of built-in variants, and own ones as ``name:override;override``, with commas between them. Among
            the overrides of an own one there may be names of built-in ones, for theirs. A comma within brackets is part
            of a value.

    Raises:
        ConfigError: an unknown name, or one that is given twice.
    """
    variants = [_read(entry) for entry in _split(text)]
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--variants: {name} is there twice; give every variant a name of its own")
    if not variants:
        raise ConfigError(f"--variants: none is given; known: {', '.join(BUILT_IN)}, or name:section.key=value;...")
    return variants


def _split(text: str) -> list[str]:
    entries, depth = [""], 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            entries.append("")
        else:
            entries[-1] += character
    return [entry.strip() for entry in entries if entry.strip()]


def _read(entry: str) -> Variant:
    name, colon, rest = entry.partition(":")
    if not colon:
        return Variant(name, tuple(_expanded([name])))
    if name in BUILT_IN:
        raise ConfigError(f"--variants: {name} is a built-in variant; give your own another name")
    return Variant(name, tuple(_expanded([part.strip() for part in rest.split(";") if part.strip()])))


def _expanded(parts: Sequence[str]) -> list[str]:
    overrides: dict[str, str] = {}
    for part in parts:
        if "=" not in part and part not in BUILT_IN:
            raise ConfigError(
                f"--variants: {part!r} is no variant; known: {', '.join(BUILT_IN)}, or your own as "
                "name:section.key=value;section.key=value"
            )
        for override in [part] if "=" in part else _expanded(BUILT_IN[part]):
            key = override.partition("=")[0]
            overrides.pop(key, None)
            overrides[key] = override
    return list(overrides.values())
