"""The two views of a batch, made on the device from one uint8 tensor: the classifier's and the guide's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

Images = torch.Tensor | list[torch.Tensor]
"""RGB: one tensor (B, 3, H, W), or a list of (3, H, W) where sizes differ."""


def to_float(images: Images, *, device: torch.device, dtype: torch.dtype) -> Images:
    """Move uint8 images to the device once, as floats in [0, 1]."""
    if isinstance(images, list):
        return [image.to(device, non_blocking=True).to(dtype) / 255 for image in images]
    return images.to(device, non_blocking=True).to(dtype) / 255


def classifier_view(
    images: Images, *, size: int, crop_pct: float, interpolation: str, squash: bool = False
) -> torch.Tensor:
    """(B, 3, size, size): the shorter side (``squash``: both) resized to ``size / crop_pct``, then the central square.

    Images that already are ``size`` x ``size`` stay as they are: ImageNet-C is stored cropped.
    """

    def view(image: torch.Tensor) -> torch.Tensor:
        if image.shape[-2:] == (size, size):
            return image
        side = int(size / crop_pct)
        image = TF.resize(image, [side, side] if squash else [side], InterpolationMode(interpolation), antialias=True)
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
