"""Which classes the guide is asked about in a window, and how much each of them weighs at each place."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F


class Kept(NamedTuple):
    """The classes of one window.

    Attributes:
        classes: (K,) int64.
        mask: (1, 1, h, w) bool, the places of the latent grid that count: those whose likeliest class was kept.
    """

    classes: torch.Tensor
    mask: torch.Tensor


def latent_logits(logits: torch.Tensor, *, size: tuple[int, int], normalise: bool = True) -> torch.Tensor:
    """(1, C, h, w): the window's logits (1, C, ., .), L2-normalised over the classes, then on the latent grid.

    The order matters: what lies between two places is a mean of normalised logits. Bilinear with aligned corners, as in
    the authors' code. The gradient reaches the logits.

    Args:
        logits: of one window.
        size: (h, w) of the latent grid.
        normalise: as published; without it the logits are only resized.
    """
    z = F.normalize(logits, dim=1) if normalise else logits
    return F.interpolate(z, size=size, mode="bilinear", align_corners=True)


def keep_classes(z: torch.Tensor, *, top_per_pixel: int, max_classes: int, scores: torch.Tensor) -> Kept:
    """The classes worth asking about in a window (paper section 4.3, as the authors' code does it).

    1. Each place of the latent grid names its ``top_per_pixel`` likeliest classes; their union is kept.
    2. If these are more than ``max_classes``: all places' likeliest classes, filled up with a random choice of the
       others.
    3. If the likeliest classes alone are more: a random ``max_classes`` of them, and places whose likeliest class was
       left out do not count.

    Args:
        z: (1, C, h, w) of :func:`latent_logits`.
        top_per_pixel: >= 1; 5 in the paper. Of fewer classes all are taken.
        max_classes: >= 1; 20 in the paper.
        scores: (C,) random numbers, independent and of one distribution: the larger, the sooner a class is chosen.

    Returns:
        Classes in rising order in case 1; in case 2 the likeliest ones rising, then the others by falling scores; in
        case 3 by falling scores.

    Raises:
        ValueError: a number is out of its range, or there is not a score for each class.
    """
    num_classes = z.shape[1]
    if top_per_pixel < 1 or max_classes < 1:
        raise ValueError(f"top_per_pixel {top_per_pixel} and max_classes {max_classes} must be >= 1")
    if scores.shape != (num_classes,):
        raise ValueError(f"scores must be of shape ({num_classes},), not {tuple(scores.shape)}")
    named = z.detach().topk(min(top_per_pixel, num_classes), dim=1).indices  # (1, top, h, w), likeliest first
    first, union = named[:, :1], named.unique()
    everywhere = torch.ones_like(first, dtype=torch.bool)
    if len(union) <= max_classes:
        return Kept(union, everywhere)
    scores = scores.to(z.device)
    likeliest = first.unique()
    if len(likeliest) <= max_classes:
        others = union[~torch.isin(union, likeliest)]
        return Kept(torch.cat([likeliest, _best(others, scores, max_classes - len(likeliest))]), everywhere)
    classes = _best(likeliest, scores, max_classes)
    return Kept(classes, torch.isin(first, classes))


def class_weights(z: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """(1, K, h, w): at each place the softmax over the kept classes (K,) of z (1, C, h, w); it carries the gradient."""
    return z[:, classes].softmax(dim=1)


def _best(classes: torch.Tensor, scores: torch.Tensor, count: int) -> torch.Tensor:
    return classes[scores[classes].topk(count).indices]
