"""The two views of a batch, made on the device from one tensor: the classifier's and the guide's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from dusa_ignite.data.pixels import what_is_wrong
from dusa_ignite.errors import DataError

Images = torch.Tensor | list[torch.Tensor]
"""RGB: one tensor (B, 3, H, W), or a list of (3, H, W) where sizes differ."""


def to_float(images: Images, *, device: torch.device, dtype: torch.dtype) -> Images:
    """Move images to the device once, as float RGB in [0, 1].

    The dtype tells what they are: ``uint8`` is divided by 255, floats are in [0, 1] already and are not. What does not
    follow :func:`dusa_ignite.data.pixels.what_is_wrong` is an error; a single channel is repeated.

    Args:
        images: (B, 3, H, W) or (B, 1, H, W), or a list of (3, H, W) or (1, H, W) where sizes or dtypes differ.
        device, dtype: of what is returned.

    Raises:
        DataError: they are neither uint8 0 .. 255 nor float 0 .. 1; the message says what came.
    """
    if isinstance(images, list):
        return [_unit_interval(image, device, dtype) for image in images]
    return _unit_interval(images, device, dtype)


def _unit_interval(images: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    wrong = what_is_wrong(images)
    if wrong:
        raise DataError(f"images of {wrong}")
    moved = images.to(device, non_blocking=True).to(dtype)
    moved = moved / 255 if images.dtype == torch.uint8 else moved.clamp(0, 1)
    return moved.repeat_interleave(3, dim=-3) if moved.shape[-3] == 1 else moved


def classifier_view(
    images: Images,
    *,
    size: int,
    crop_pct: float,
    interpolation: str,
    squash: bool = False,
    antialias: bool = True,
) -> torch.Tensor:
    """(B, 3, size, size): the shorter side (``squash``: both) resized to ``size / crop_pct``, then the central square.

    Images that already are ``size`` x ``size`` stay as they are: ImageNet-C is stored cropped.
    """

    def view(image: torch.Tensor) -> torch.Tensor:
        if image.shape[-2:] == (size, size):
            return image
        side = int(size / crop_pct)
        image = TF.resize(
            image, [side, side] if squash else [side], InterpolationMode(interpolation), antialias=antialias
        )
        return TF.center_crop(image, [size, size]).clamp(0, 1)

    return _each_size(view, images)


def guide_view(images: Images, *, size: int) -> torch.Tensor:
    """(B, 3, size, size) in [-1, 1]: the central square, resized.

    Enlarging is bilinear with aligned corners, as in DUSA's reference; shrinking is bilinear with antialiasing.
    """

    def view(image: torch.Tensor) -> torch.Tensor:
        side = min(image.shape[-2:])
        image = TF.center_crop(image, [side, side])
        if side < size:
            image = F.interpolate(image, size=(size, size), mode="bilinear", align_corners=True)
        elif side > size:
            image = TF.resize(image, [size, size], InterpolationMode.BILINEAR, antialias=True)
        return image * 2 - 1

    return _each_size(view, images)


def _each_size(view: Callable[[torch.Tensor], torch.Tensor], images: Images) -> torch.Tensor:
    if isinstance(images, list):
        return torch.cat([view(image[None]) for image in images])
    return view(images)
