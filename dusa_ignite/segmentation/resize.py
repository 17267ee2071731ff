"""Images of any size brought to one shorter side, and logits brought to the labels' size."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF


def resized_size(height: int, width: int, *, short_side: int) -> tuple[int, int]:
    """(H, W) with the shorter side ``short_side`` and the ratio kept, the longer side rounded to whole pixels."""
    scale = short_side / min(height, width)
    return (
        short_side if height <= width else round(height * scale),
        short_side if width <= height else round(width * scale),
    )


def resize_short_side(
    image: torch.Tensor, *, short_side: int, interpolation: str = "bilinear", antialias: bool = True
) -> torch.Tensor:
    """(..., 3, H, W) floats in [0, 1] whose shorter side is ``short_side``; those that have it stay as they are.

    Args:
        image: (..., 3, H, W) floats in [0, 1].
        short_side: pixels, >= 1.
        interpolation: ``bilinear``, ``bicubic``, ``nearest`` or ``nearest-exact``.
        antialias: whether shrinking is low-passed.
    """
    height, width = image.shape[-2:]
    size = resized_size(height, width, short_side=short_side)
    if size == (height, width):
        return image
    return TF.resize(image, list(size), InterpolationMode(interpolation), antialias=antialias).clamp(0, 1)


def predicted_labels(logits: torch.Tensor, *, size: tuple[int, int]) -> torch.Tensor:
    """(H, W) int64, the likeliest class of every pixel of a label map of that size.

    The logits (C, h, w) of one image are resized, not the labels: bilinear, corners not aligned, as the field's tools
    do it before they score.
    """
    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0].argmax(dim=0)
