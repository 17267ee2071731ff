"""The random augmentations of CoTTA (Wang et al., CVPR 2022, arXiv 2203.13591), which RoTTA and ROID took over.

They are made for images in [0, 1]: a normalised image would be clipped to nonsense. So they are meant for the square
that the classifier crops, before its mean and standard deviation.

The authors draw once for a whole batch; here every image has draws of its own, so that they depend neither on its batch
nor on the number of processes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

from dusa_ignite.methods.colours import (
    adjust_brightness,
    adjust_contrast,
    adjust_gamma,
    adjust_hue,
    adjust_saturation,
)

JITTER = (  # changes of colour, and the range of their factors
    (adjust_brightness, (0.6, 1.4)),
    (adjust_contrast, (0.7, 1.3)),
    (adjust_saturation, (0.5, 1.5)),
    (adjust_hue, (-0.06, 0.06)),  # of a full turn
    (adjust_gamma, (0.7, 1.3)),
)
DEGREES, SCALE = (-15.0, 15.0), (0.9, 1.1)
TRANSLATE = 1 / 16  # of the padded image, which is twice as wide
BLUR_SIGMA, BLUR_REACH = (0.001, 0.5), 2  # pixels
NOISE_STD = 0.005
PADDINGS = {"edge": "border", "reflect": "reflection"}  # what grid_sample calls them


def augment(
    images: torch.Tensor, generators: list[torch.Generator], *, padding: str = "edge", blur_and_noise: bool = True
) -> torch.Tensor:
    """Every image changed at random, each by draws of its own.

    In this order: brightness, contrast, saturation, hue and gamma in random order; rotation, shift and scaling, the
    border continued outwards; blur; mirroring; noise; the result is clipped to [0, 1].

    Args:
        images: (B, 3, S, S), S >= 2, in [0, 1]; what is outside is clipped.
        generators: one CPU generator per image.
        padding: how the border is continued, ``edge`` (CoTTA, RoTTA) or ``reflect`` (ROID).
        blur_and_noise: whether they are among the changes (CoTTA, RoTTA) or not (ROID).

    Returns:
        (B, 3, S, S) in [0, 1].

    Raises:
        ValueError: there are more or fewer generators than images.
    """
    if len(images) != len(generators):
        raise ValueError(f"augment needs one generator for each of {len(images)} images, not {len(generators)}")
    if len(images) == 0:
        return images
    draws = [draw(generator, side=images.shape[-1], blur_and_noise=blur_and_noise) for generator in generators]
    numbers = torch.tensor([own.numbers for own in draws], dtype=images.dtype).to(images.device)
    factors, degrees, scale, shift, mirrored, sigma = numbers.split([5, 1, 1, 2, 1, 1], dim=1)
    images = jitter(images.clamp(0, 1), torch.stack([own.order for own in draws]), factors)
    margin = BLUR_REACH if blur_and_noise else 0
    images = move(images, degrees, scale, shift, mirrored, padding=padding, margin=margin)
    if blur_and_noise:
        images = blur(images, sigma)
        images = images + NOISE_STD * torch.stack([own.noise for own in draws]).to(images)
    return images.clamp(0, 1)


class Draw(NamedTuple):
    """What an image draws."""

    order: torch.Tensor  # (5,) int64, in which the changes of colour are made
    numbers: list[float]  # five factors, degrees, scale, shift to the right and downwards in pixels, mirrored, sigma
    noise: torch.Tensor  # (3, S, S) standard normal


def draw(generator: torch.Generator, *, side: int, blur_and_noise: bool) -> Draw:
    """All that an image of ``side`` pixels draws, one after the other, from its own generator."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), dtype=torch.float64, generator=generator).item()

    order, factors = torch.randperm(5, generator=generator), [0.0] * 5
    for change in order.tolist():
        factors[change] = uniform(*JITTER[change][1])
    degrees = uniform(*DEGREES)
    reach = TRANSLATE * (side + 2 * (side // 2))
    shift = [float(round(uniform(-reach, reach))) for _ in range(2)]
    scale = uniform(*SCALE)
    sigma = uniform(*BLUR_SIGMA) if blur_and_noise else 0.0
    mirrored = float(uniform(0, 1) < 0.5)
    noise = torch.randn(3, side, side, generator=generator) if blur_and_noise else torch.empty(0)
    return Draw(order, [*factors, degrees, scale, *shift, mirrored, sigma], noise)


def jitter(images: torch.Tensor, order: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """The five changes of colour, to every image in an order of its own.

    Args:
        images: (B, 3, H, W) in [0, 1]; changed in place.
        order: (B, 5) int64, on the CPU: the number, in ``JITTER``, of every image's first change, of its second, ...
        factors: (B, 5), for the changes in the order of ``JITTER``.
    """
    rows = order.argsort(dim=0, stable=True).to(images.device)  # images by the change that is their first, second, ...
    for step in range(5):
        counts = order[:, step].bincount(minlength=5).tolist()
        for number, chosen in enumerate(rows[:, step].split(counts)):
            if len(chosen):
                images[chosen] = JITTER[number][0](images[chosen], factors[chosen, number])
    return images


def move(
    images: torch.Tensor,
    degrees: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    mirrored: torch.Tensor,
    *,
    padding: str,
    margin: int,
) -> torch.Tensor:
    """Images scaled and turned clockwise about their middle, shifted, and then some mirrored; bilinear.

    Args:
        images: (B, 3, S, S).
        degrees: (B, 1), clockwise.
        scale: (B, 1), > 0; above 1 enlarges.
        shift: (B, 2) pixels to the right and downwards.
        mirrored: (B, 1), 1 where left and right change places, else 0.
        padding: see :func:`augment`.
        margin: pixels beyond the border, >= 0, that are returned too.

    Returns:
        (B, 3, S + 2 margin, S + 2 margin).
    """
    side = images.shape[-1]
    middle = (side - 1) / 2
    line = torch.arange(-margin, side + margin, dtype=images.dtype, device=images.device) - middle
    x = line[None, None, :] * (1 - 2 * mirrored[:, :, None]) - shift[:, :1, None]  # (B, 1, width)
    y = line[None, :, None] - shift[:, 1:, None]  # (B, height, 1)
    angle, zoom = degrees.deg2rad()[:, :, None], scale[:, :, None]
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    source = torch.stack([cos * x + sin * y, cos * y - sin * x], dim=3) / middle  # -1 and 1: the outermost pixels
    mode = PADDINGS[padding]
    return F.grid_sample(images, source, mode="bilinear", padding_mode=mode, align_corners=True)


def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, H, W) under a Gaussian of 5 x 5 pixels and standard deviations (B, 1) > 0, without their margin."""
    offsets = torch.arange(-BLUR_REACH, BLUR_REACH + 1, dtype=images.dtype, device=images.device)
    weights = (-0.5 * (offsets / sigma).square()).softmax(dim=1)[:, :, None, None, None]  # (B, 5, 1, 1, 1)
    for dim in (2, 3):
        size = images.shape[dim] - 2 * BLUR_REACH
        blurred = weights[:, 0] * images.narrow(dim, 0, size)
        for place in range(1, len(offsets)):
            blurred.addcmul_(weights[:, place], images.narrow(dim, place, size))
        images = blurred
    return images
