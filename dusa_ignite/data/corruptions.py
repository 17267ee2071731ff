"""Eight image corruptions of a given strength, for images of any size; how strong, say tables of five severities.

They follow the idea, the names and the order of ImageNet-C (Hendrycks & Dietterich, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", ICLR 2019). Code and tables are our own: numbers from these
corruptions compare with nothing but themselves.

There are two tables. :data:`DIGITS` suits 32 x 32 images of single digits, which stay readable under noise that would
destroy a photograph. :data:`PHOTOGRAPHS` suits photographs; its blurs are shares of the shorter side, so that an image
looks alike whatever its resolution.

Every function takes a float image (C, H, W) in [0, 1], a strength and a CPU generator, and returns a new float image of
the same shape in [0, 1]. The same generator state gives the same image; corruptions without randomness leave the
generator alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F


def corrupt(
    image: torch.Tensor,
    *,
    corruption: str,
    severity: int,
    generator: torch.Generator,
    strengths: Mapping[str, Sequence[Any]] | None = None,
) -> torch.Tensor:
    """Apply one corruption of :data:`CORRUPTIONS`.

    Args:
        image: (C, H, W) float in [0, 1].
        corruption: a key of :data:`CORRUPTIONS`.
        severity: 1 (mild) .. 5 (strong).
        generator: CPU generator of everything random.
        strengths: of every corruption at the five severities; ``None`` = :data:`DIGITS`. Lengths in a table are in
            pixels; see :func:`photograph_strengths`.

    Returns:
        (C, H, W) float in [0, 1].
    """
    strength = (strengths or DIGITS)[corruption][severity - 1]
    return CORRUPTIONS[corruption](image, strength, generator).clamp(0, 1)


def gaussian_noise(image: torch.Tensor, std: float, generator: torch.Generator) -> torch.Tensor:
    """Sensor noise: add normal noise of this standard deviation, independent per pixel and channel."""
    return (image + std * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def shot_noise(image: torch.Tensor, photons: float, generator: torch.Generator) -> torch.Tensor:
    """Photon noise: Poisson counts per pixel and channel, with this mean count of a white pixel."""
    return (torch.poisson(image * photons, generator=generator) / photons).clamp(0, 1)


def impulse_noise(image: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Salt and pepper: this share of all values becomes 0 or 1, with equal odds."""
    draw = torch.rand(image.shape, generator=generator)
    noisy = torch.where(draw < share / 2, torch.zeros_like(image), image)
    return torch.where(draw > 1 - share / 2, torch.ones_like(image), noisy)


def gaussian_blur(image: torch.Tensor, std: float, generator: torch.Generator) -> torch.Tensor:
    """Out of focus: convolve with a normal density of this standard deviation in pixels."""
    offsets = torch.arange(-math.ceil(3 * std), math.ceil(3 * std) + 1, dtype=torch.float32)
    weights = torch.exp(-(offsets**2) / (2 * std**2))
    return _filter(image, weights[:, None] * weights[None, :])


def motion_blur(image: torch.Tensor, length: int, generator: torch.Generator) -> torch.Tensor:
    """A moving camera: average along a line at a random angle within 45 degrees of the horizontal.

    The line has this length in pixels; it is one pixel wide, with soft edges.
    """
    angle = (torch.rand((), generator=generator) - 0.5) * (math.pi / 2)
    offsets = torch.arange(-(length // 2) - 1, length // 2 + 2, dtype=torch.float32)
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    line = (length / 2 + 0.5 - along.abs()).clamp(0, 1) * torch.exp(-(across**2) / (2 * 0.5**2))
    return _filter(image, line)


def fog(image: torch.Tensor, strength: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    """White clouds laid over the image, which is then scaled back to [0, 1].

    The strength is the clouds' brightness relative to white, and how fast their finer octaves fade (smaller = finer).
    """
    brightness, decay = strength
    clouds = _clouds(image.shape[-2], image.shape[-1], decay, generator)
    return (image + brightness * clouds) / (1 + brightness)


def contrast(image: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Flat light: pull all values to their channel's mean; this share of contrast is left."""
    mean = image.mean(dim=(-2, -1), keepdim=True)
    return mean + share * (image - mean)


def pixelate(image: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Too few pixels: average over blocks, then enlarge again; this share of the pixels is left per side."""
    height, width = image.shape[-2:]
    small = F.interpolate(image[None], size=(max(1, round(share * height)), max(1, round(share * width))), mode="area")
    return F.interpolate(small, size=(height, width), mode="nearest")[0]


CORRUPTIONS: dict[str, Callable[[torch.Tensor, Any, torch.Generator], torch.Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "gaussian_blur": gaussian_blur,
    "motion_blur": motion_blur,
    "fog": fog,
    "contrast": contrast,
    "pixelate": pixelate,
}


DIGITS: dict[str, tuple[Any, ...]] = {
    "gaussian_noise": (0.30, 0.50, 0.65, 0.80, 1.00),
    "shot_noise": (6.0, 3.5, 2.2, 1.6, 1.1),
    "impulse_noise": (0.25, 0.35, 0.45, 0.55, 0.62),
    "gaussian_blur": (2.5, 3.5, 4.25, 5.0, 5.75),
    "motion_blur": (9, 13, 17, 21, 25),
    "fog": ((0.6, 2.0), (0.85, 2.0), (1.05, 1.75), (1.3, 1.75), (1.6, 1.5)),
    "contrast": (0.25, 0.18, 0.14, 0.11, 0.08),
    "pixelate": (0.5, 0.31, 0.19, 0.16, 0.125),
}
"""Strengths for 32 x 32 digits, at severities 1 to 5."""

PHOTOGRAPHS: dict[str, tuple[Any, ...]] = {
    "gaussian_noise": (0.07, 0.11, 0.16, 0.23, 0.33),
    "shot_noise": (70.0, 30.0, 15.0, 7.0, 4.0),
    "impulse_noise": (0.03, 0.06, 0.10, 0.17, 0.26),
    "gaussian_blur": (0.005, 0.009, 0.013, 0.019, 0.027),
    "motion_blur": (0.04, 0.06, 0.08, 0.11, 0.15),
    "fog": ((0.5, 2.0), (0.8, 2.0), (1.1, 1.75), (1.5, 1.75), (2.0, 1.5)),
    "contrast": (0.45, 0.34, 0.24, 0.15, 0.08),
    "pixelate": (0.6, 0.45, 0.33, 0.26, 0.2),
}
"""Strengths for photographs, at severities 1 to 5; the blurs' are shares of the image's shorter side."""


def photograph_strengths(height: int, width: int) -> dict[str, tuple[Any, ...]]:
    """:data:`PHOTOGRAPHS` in pixels, for an image of this size."""
    side = min(height, width)
    stds = tuple(share * side for share in PHOTOGRAPHS["gaussian_blur"])
    lengths = tuple(max(2, round(share * side)) for share in PHOTOGRAPHS["motion_blur"])
    return PHOTOGRAPHS | {"gaussian_blur": stds, "motion_blur": lengths}


def _filter(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Each channel convolved with ``kernel`` (odd sides) scaled to sum 1; the border is continued outwards."""
    kernel = kernel / kernel.sum()
    down, right = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = F.pad(image[:, None], (right, right, down, down), mode="replicate")
    return F.conv2d(padded, kernel[None, None])[:, 0]


def _clouds(height: int, width: int, decay: float, generator: torch.Generator) -> torch.Tensor:
    """Fractal noise (1, H, W) that fills [0, 1]: random fields of 2, 3, 5, 9 .. knots, ever fainter by ``decay``."""
    clouds = torch.zeros(1, 1, height, width)
    amplitude, knots = 1.0, 2
    while knots <= max(height, width):
        field = torch.rand(1, 1, knots, knots, generator=generator)
        clouds += amplitude * F.interpolate(field, size=(height, width), mode="bilinear", align_corners=True)
        amplitude, knots = amplitude / decay, 2 * knots - 1
    clouds -= clouds.amin()
    return (clouds / clouds.amax())[0]
