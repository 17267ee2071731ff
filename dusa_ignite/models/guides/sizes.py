"""What a guide's weights say about its sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dusa_ignite.models.guides.vae import DOWNSAMPLING, LATENT_CHANNELS


@dataclass(frozen=True)
class GuideSizes:
    """Sizes of a guide of the three families, read off the shapes of its weights.

    The number of attention heads leaves no trace in the shapes.

    Attributes:
        latent_size: side of its square input, in latents, or in pixels where it has no VAE.
        in_channels: of its input: 4 for the latents of Stable Diffusion's VAE.
        patch_size: side of a token's patch, in the same units.
        hidden_size: channels of a token.
        depth: blocks.
        num_classes: classes without the unconditional one.
        learns_sigma: whether it also predicts a variance, as official SiT and DiT do.
    """

    latent_size: int
    in_channels: int
    patch_size: int
    hidden_size: int
    depth: int
    num_classes: int
    learns_sigma: bool

    @property
    def image_size(self) -> int:
        """Pixels, side of the square image."""
        return self.latent_size * (DOWNSAMPLING if self.in_channels == LATENT_CHANNELS else 1)


def guide_sizes(weights: Mapping[str, torch.Tensor]) -> GuideSizes | None:
    """Read the sizes; ``None`` where the weights are no such guide's.

    Args:
        weights: names, without prefixes, to tensors.
    """
    try:
        patches = weights["x_embedder.proj.weight"].shape  # (hidden, channels, patch, patch)
        hidden, channels, patch, _ = patches
        tokens = weights["pos_embed"].shape[1]
        classes = weights["y_embedder.embedding_table.weight"].shape[0] - 1
        outputs = weights["final_layer.linear.bias"].shape[0] // patch**2
    except (KeyError, ValueError, IndexError, ZeroDivisionError):
        return None
    blocks = {int(found[1]) for name in weights if (found := re.match(r"blocks\.(\d{1,4})\.", name))}
    grid = math.isqrt(tokens)
    if grid * grid != tokens or outputs not in (channels, 2 * channels) or blocks != set(range(len(blocks))):
        return None
    return GuideSizes(grid * patch, channels, patch, hidden, len(blocks), classes, outputs == 2 * channels)
