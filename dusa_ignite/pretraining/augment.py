"""Endless batches of lightly augmented training images."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F


def training_batches(
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    batch_size: int,
    max_shift: int,
    min_contrast: float,
    generator: torch.Generator,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches in random order, epoch after epoch without end; an epoch's last, smaller batch is left out.

    Args:
        images: (N, C, H, W) in [0, 1].
        labels: (N,).
        batch_size: at most N are used.
        max_shift, min_contrast: see :func:`shift` and :func:`fade`.
        generator: CPU generator of everything random.
    """
    batch_size = min(batch_size, len(images))
    while True:
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            shifted = shift(images[chosen], max_shift=max_shift, generator=generator)
            yield fade(shifted, min_contrast=min_contrast, generator=generator), labels[chosen]


def shift(images: torch.Tensor, *, max_shift: int, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to ``max_shift`` whole pixels in each direction; its border is continued outwards."""
    count, _, height, width = images.shape
    padded = F.pad(images, (max_shift,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * max_shift + 1, (count, 2), generator=generator).tolist()
    crops = [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, offsets, strict=True)]
    return torch.stack(crops)


def fade(images: torch.Tensor, *, min_contrast: float, generator: torch.Generator) -> torch.Tensor:
    """Each image x in [0, 1] becomes k x + b, with k in [min_contrast, 1] and b in [0, 1 - k], both uniform."""
    k = min_contrast + (1 - min_contrast) * torch.rand(len(images), 1, 1, 1, generator=generator)
    return k * images + (1 - k) * torch.rand(len(images), 1, 1, 1, generator=generator)
