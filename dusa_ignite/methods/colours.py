"""Changes of colour, each image by a factor of its own: torchvision's ``adjust_*``, which know one factor per batch."""

from __future__ import annotations

import torch


def adjust_brightness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Images times the factors.

    Args:
        images: (B, 3, H, W) RGB in [0, 1].
        factors: (B,), >= 0; 1 = nothing.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    return (images * _per_image(factors)).clamp(0, 1)


def adjust_contrast(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Away from (> 1) or towards (< 1) each image's mean grey; otherwise as :func:`adjust_brightness`."""
    return _blend(images, grey(images).mean(dim=(1, 2, 3), keepdim=True), factors)


def adjust_saturation(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Away from (> 1) or towards (< 1) each pixel's grey; otherwise as :func:`adjust_brightness`."""
    return _blend(images, grey(images), factors)


def adjust_gamma(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Images to the power of the factors; otherwise as :func:`adjust_brightness`."""
    return images.pow(_per_image(factors)).clamp(0, 1)


def adjust_hue(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Every colour turned about the grey axis of HSV, its value and its saturation unchanged.

    Args:
        images: (B, 3, H, W) RGB in [0, 1].
        turns: (B,) parts of a full turn, any number; 0 = nothing.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    red, green, blue = images.split(1, dim=1)
    value = images.amax(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    from_green = torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    hue = torch.where(value == red, green - blue, from_green) / chroma.where(chroma > 0, 1)  # in sixths of a turn
    offsets = torch.tensor([5.0, 3.0, 1.0], dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    place = (hue + 6 * _per_image(turns) + offsets) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)


def grey(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) the luma of RGB images (B, 3, H, W) (ITU-R BT.601)."""
    red, green, blue = images.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _blend(images: torch.Tensor, others: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    return others.lerp(images, _per_image(shares)).clamp(0, 1)


def _per_image(values: torch.Tensor) -> torch.Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return values[:, None, None, None]
