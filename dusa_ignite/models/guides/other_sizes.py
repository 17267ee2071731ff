"""The options of the config that would fit a guide's weights, where those that were given do not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from dusa_ignite.models.guides.families import FAMILIES, Family
from dusa_ignite.models.guides.families.repa import REPA
from dusa_ignite.models.guides.sizes import GuideSizes, guide_sizes
from dusa_ignite.models.guides.vae import LATENT_CHANNELS, PIXEL_CHANNELS
from dusa_ignite.models.guides.variants import VARIANTS


def other_sizes(weights: Mapping[str, torch.Tensor], model: nn.Module, *, family: Family) -> str | None:
    """What to say of weights that fit a guide of other sizes, or of another family, one by one.

    Args:
        weights: that do not fit ``model``.
        model: as the config describes it.
        family: of the model.

    Returns:
        One line, with the options to change; ``None`` where sizes alone do not explain the difference.
    """
    sizes = guide_sizes(weights)
    if sizes is None or not _explains(sizes, weights, family):
        return None
    own = guide_sizes(model.state_dict())
    if own is None:
        return None
    changes = []
    if sizes.learns_sigma != own.learns_sigma:
        changes.append(f"transformer.family={families_of(sizes)}")
    body = [(sizes.patch_size, sizes.hidden_size, sizes.depth), (own.patch_size, own.hidden_size, own.depth)]
    if body[0] != body[1]:
        changes += body_options(sizes)
    if sizes.num_classes != own.num_classes:
        changes.append(f"transformer.num_classes={sizes.num_classes}")
    if sizes.in_channels != own.in_channels:
        changes.append(vae_option(sizes))
    if sizes.image_size != own.image_size or sizes.in_channels != own.in_channels:
        changes.append(f"transformer.image_size={sizes.image_size}")
    if not changes:
        return None
    grid = own.latent_size // own.patch_size
    given = f"{own.num_classes} classes, {grid} x {grid} tokens of {own.hidden_size}, {own.depth} blocks"
    return f"made for other sizes than the config's ({given}); set {' '.join(changes)}"


def families_of(sizes: GuideSizes) -> str:
    """The families whose guides have such an output: ``repa``, or ``sit or dit``."""
    return " or ".join(family.name for family in FAMILIES if family.learns_sigma == sizes.learns_sigma)


def body_options(sizes: GuideSizes) -> list[str]:
    """``transformer.variant=SiT-B/2``, or the four sizes where there is no such variant."""
    for name, (patch, hidden, depth, _) in VARIANTS.items():
        if name.startswith("SiT") and (patch, hidden, depth) == (sizes.patch_size, sizes.hidden_size, sizes.depth):
            return [f"transformer.variant={name}"]
    return [
        "transformer.variant=null",
        f"transformer.patch_size={sizes.patch_size}",
        f"transformer.hidden_size={sizes.hidden_size}",
        f"transformer.depth={sizes.depth}",
        "transformer.num_heads=(as trained; the file does not say)",
    ]


def vae_option(sizes: GuideSizes) -> str:
    """Whether it works on latents or on pixels."""
    if sizes.in_channels == PIXEL_CHANNELS:
        return "vae.pretrained=null"
    if sizes.in_channels == LATENT_CHANNELS:
        return "vae.pretrained=stabilityai/sd-vae-ft-ema"
    return f"a VAE of {sizes.in_channels} channels (only {LATENT_CHANNELS} are supported)"


def _explains(sizes: GuideSizes, weights: Mapping[str, torch.Tensor], family: Family) -> bool:
    """Whether a guide of these sizes has exactly these weights."""
    try:
        with torch.device("meta"):
            other = family.network(
                latent_size=sizes.latent_size,
                in_channels=sizes.in_channels,
                num_classes=sizes.num_classes,
                learn_sigma=sizes.learns_sigma,
                patch_size=sizes.patch_size,
                hidden_size=sizes.hidden_size,
                depth=sizes.depth,
                num_heads=1,
            ).state_dict()
    except Exception:  # a network of the user's own may need other sizes
        return False
    dropped = REPA.dropped if not sizes.learns_sigma else ("\0",)
    shapes = {name: value.shape for name, value in weights.items() if not name.startswith(dropped)}
    return shapes == {name: value.shape for name, value in other.items()}
