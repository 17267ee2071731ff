"""DeYO's destroyed objects: images whose patches or pixels change places, or whose middle is hidden."""

from __future__ import annotations

import torch
from torchvision.transforms.v2 import functional as TF

OCCLUDED = 0.5  # of the side, in the middle: 112 of 224 pixels


def destroy(
    images: torch.Tensor, generators: list[torch.Generator], *, destruction: str, patches_per_side: int
) -> torch.Tensor:
    """Images whose objects cannot be recognised any more.

    Args:
        images: (B, 3, S, S).
        generators: one CPU generator per image.
        destruction: ``patch``: square patches change places (an image that they do not divide is resized to the next
            smaller size that they do, and back); ``pixel``: all pixels change places; ``occlusion``: the middle of an
            image becomes its mean colour, without a draw.
        patches_per_side: for ``patch``.

    Returns:
        (B, 3, S, S).

    Raises:
        ValueError: another word.
    """
    if destruction not in ("patch", "pixel", "occlusion"):
        raise ValueError(f"destruction must be patch, pixel or occlusion, not {destruction!r}")
    if len(images) == 0:
        return images
    if destruction == "occlusion":
        return occlude(images)
    side = images.shape[-1]
    if destruction == "pixel":
        return shuffle_patches(images, generators, patch=1)
    patch = max(side // patches_per_side, 1)
    fitting = patch * patches_per_side
    if side % patches_per_side == 0:
        return shuffle_patches(images, generators, patch=patch)
    shuffled = shuffle_patches(TF.resize(images, [fitting, fitting]), generators, patch=patch)
    return TF.resize(shuffled, [side, side])


def shuffle_patches(images: torch.Tensor, generators: list[torch.Generator], *, patch: int) -> torch.Tensor:
    """Every image (B, 3, S, S) cut into squares of ``patch`` pixels, which divides S, in an order of its own."""
    rows = images.shape[-1] // patch
    cells = images.unflatten(3, (rows, patch)).unflatten(2, (rows, patch))  # (B, 3, row, y, column, x)
    cells = cells.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, cell, 3, y, x)
    shuffled = [own[torch.randperm(rows * rows, generator=g)] for own, g in zip(cells, generators, strict=True)]
    return torch.stack(shuffled).unflatten(1, (rows, rows)).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def occlude(images: torch.Tensor) -> torch.Tensor:
    """The middle of every image (B, 3, S, S) in the image's mean colour."""
    side = images.shape[-1]
    size = int(side * OCCLUDED)
    start = (side - size) // 2
    occluded = images.clone()
    occluded[:, :, start : start + size, start : start + size] = images.mean(dim=(2, 3), keepdim=True)
    return occluded
