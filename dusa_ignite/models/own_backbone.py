"""A model that a factory of the user's own builds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from dusa_ignite.errors import ConfigError
from dusa_ignite.utils.own_parts import load_part

EXAMPLE_CFG = "{'input_size': (3, 224, 224), 'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)}"


def own_backbone(
    reference: str, *, num_classes: int, options: dict[str, Any], needed: Sequence[str] = ("input_size", "mean", "std")
) -> tuple[nn.Module, dict[str, Any]]:
    """What a factory of the user's own builds, and its ``pretrained_cfg``: how its images are to be normalised.

    Args:
        reference: ``path/to/file.py:build``.
        num_classes: outputs.
        options: keyword arguments of the factory.
        needed: keys of ``pretrained_cfg``.

    Raises:
        ConfigError: it fails, returns no module, or one without ``pretrained_cfg``.
    """
    factory = load_part(reference, key="classifier.name")
    try:
        backbone = factory(**options)
    except Exception as error:  # a user's file may raise anything
        raise ConfigError(
            f"classifier.name: {reference} fails ({type(error).__name__}: {error}); it is called with "
            "classifier.options as keyword arguments"
        ) from error
    if not isinstance(backbone, nn.Module):
        raise ConfigError(f"classifier.name: {reference} returns a {type(backbone).__name__}, not a torch.nn.Module")
    declared = getattr(backbone, "pretrained_cfg", None) or {}
    missing = [key for key in needed if key not in declared]
    if missing:
        raise ConfigError(
            f"classifier.name: {reference}: how its images are prepared is not known; give the module an attribute "
            f"pretrained_cfg, a dict such as {EXAMPLE_CFG}; missing: {', '.join(missing)}"
        )
    backbone.num_classes = num_classes  # type: ignore[assignment]
    return backbone, dict(declared)
