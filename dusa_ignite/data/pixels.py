"""What an image may be: the one rule for tensors, told by their dtype and checked by their range."""

from __future__ import annotations

import math

import torch

ROUNDING = 1e-3  # how far floats may lie outside [0, 1]; they are clamped. A bicubic resize goes further: clamp there


def what_is_wrong(images: torch.Tensor) -> str:
    """Why a tensor holds no images that can be used; empty if it does.

    - ``uint8`` holds 0 (black) .. 255 (white);
    - floats of any width hold 0 (black) .. 1 (white), all finite;
    - other integers, of 16 bits for instance, and bool are refused: what is white in them cannot be known;
    - three channels are RGB, one is grey and stands for three equal ones, four (alpha) and other numbers are refused:
      what shines through transparent parts cannot be known. (In files it is white, see
      :func:`dusa_ignite.data.decoding.read_image`.)

    Args:
        images: one image (C, H, W), or a batch (B, C, H, W); a batch may be empty.
    """
    if not isinstance(images, torch.Tensor):
        return f"type {type(images).__name__}; images are tensors (3, H, W)"
    if images.ndim not in (3, 4) or 0 in images.shape[-3:]:
        return f"shape {tuple(images.shape)}; images are (3, H, W)"
    channels = images.shape[-3]
    if channels not in (1, 3):
        return f"shape {tuple(images.shape)}, so {_channels(images)}"
    if images.dtype == torch.uint8 or images.numel() == 0:
        return ""
    if not images.is_floating_point():
        values = "" if images.is_complex() else f" from {_extremes(images.double())}"
        return (
            f"{_name(images.dtype)}{values}; images are uint8 0 .. 255 or float 0 .. 1: convert them (16 bits: divide "
            "by 65535)"
        )
    low, high = (extreme.item() for extreme in images.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{_name(images.dtype)} with values that are NaN or infinite; images are float 0 .. 1"
    if low < -ROUNDING or high > 1 + ROUNDING:
        hint = "they seem to be normalised: leave that to the classifier" if low < 0 else "divide them by 255"
        hint = "clamp them" if low > -0.5 and high < 1.5 else hint
        return f"{_name(images.dtype)} from {low:.4g} to {high:.4g}; images are float 0 .. 1 or uint8 0 .. 255: {hint}"
    return ""


def _channels(images: torch.Tensor) -> str:
    if images.shape[-1] in (1, 3, 4) and images.shape[-3] > 4:
        return "the channels seem to come last; images are (3, H, W): permute them"
    if images.shape[-3] == 4:
        return "4 channels; images have 3 (RGB) or 1 (grey): put those with alpha on a background"
    return f"{images.shape[-3]} channels; images have 3 (RGB) or 1 (grey)"


def _extremes(values: torch.Tensor) -> str:
    low, high = values.aminmax()
    return f"{low.item():.10g} to {high.item():.10g}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
