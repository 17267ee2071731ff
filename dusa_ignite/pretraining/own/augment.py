"""Augmentations of one image, all drawn from its own generator."""

from __future__ import annotations

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from dusa_ignite.pretraining.own.config import OwnAugment


def augmented(image: torch.Tensor, options: OwnAugment, generator: torch.Generator) -> torch.Tensor:
    """One view of an image; with every option off, the image itself.

    The same numbers are drawn whatever is switched on, so that an option changes nothing but what it names.

    Args:
        image: (3, S, S) in [0, 1].
        options: how far it may go.
        generator: of this view alone.

    Returns:
        (3, S, S) in [0, 1].
    """
    flip, side, top, left, shift, fade = torch.rand(6, generator=generator).tolist()
    if options.crop:
        image = _cropped(image, share=options.crop * side, top=top, left=left)
    if options.flip and flip < 0.5:
        image = image.flip(-1)
    if options.contrast:
        mean = image.mean()
        image = mean + (1 - options.contrast * fade) * (image - mean)
    if options.brightness:
        image = image + options.brightness * (2 * shift - 1)
    return image.clamp(0, 1)


def is_on(options: OwnAugment) -> bool:
    """Whether a view may differ from its image."""
    return bool(options.flip or options.crop or options.brightness or options.contrast)


def _cropped(image: torch.Tensor, *, share: float, top: float, left: float) -> torch.Tensor:
    """A square without ``share`` of each side, at a place given by two numbers in [0, 1), back in the image's size."""
    size = image.shape[-1]
    kept = max(1, round(size * (1 - share)))
    if kept == size:
        return image
    y, x = (int(place * (size - kept + 1)) for place in (top, left))
    part = image[:, y : y + kept, x : x + kept]
    return TF.resize(part, [size, size], InterpolationMode.BILINEAR, antialias=True)
