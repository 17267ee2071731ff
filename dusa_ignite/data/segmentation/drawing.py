"""Canvases: handwritten digits of any size and place on textured ground, with the class of every pixel.

Digits have colours as things in photographs have them: every class its own, but neighbours on the colour circle
overlap, and the ground may have any colour. So colour says something of a class, and shape has to say the rest.

What is drawn depends on the scans and on the generator alone. Nothing is read from files, and nothing is written.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

GROUND = 0
CLASSES = ("ground", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""The position is the label: digit d has label d + 1."""

INK = 0.35  # where a scan's ink is above this, the pixel belongs to the digit
DIGITS = (3, 6)  # how many are placed: the fewest and the most; fewer where there is no room
SIZES = (0.25, 0.45)  # of a digit's square: the smallest and the largest, as shares of the canvas's side
TRIES = 20  # places that are tried for a digit before it is left out
COLOURS = 4  # colours that are drawn for a digit; the one farthest from the ground's is taken
HUES = 0.08  # of the colour circle, to both sides of d / 10, for digit d: three quarters are a neighbour's, too


def draw_canvas(
    paper: torch.Tensor, digits: torch.Tensor, *, side: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One canvas; the squares of its digits do not overlap.

    Args:
        paper: uint8 (N, 3, h, h), scans of dark ink on white paper, such as those of
            :func:`dusa_ignite.data.digits.clean_half`.
        digits: (N,) int64, 0 .. 9: which digit each scan shows.
        side: of the canvas in pixels, >= 16.
        generator: on the CPU, of everything random.

    Returns:
        The image, float RGB (3, side, side) in [0, 1]; and the class of every pixel, int64 (side, side), positions in
        :data:`CLASSES`.
    """
    image = draw_ground(side, generator)
    labels = torch.full((side, side), GROUND)
    taken = torch.zeros(side, side, dtype=torch.bool)
    for _ in range(_between(*DIGITS, generator)):
        size = _between(round(SIZES[0] * side), round(SIZES[1] * side), generator)
        place = _free_place(taken, size, generator)
        scan = _between(0, len(paper) - 1, generator)
        colours = draw_colours(int(digits[scan]), generator)
        if place is None:
            continue
        taken[place] = True
        ink = draw_ink(paper[scan], size)
        under = image[:, place[0], place[1]]
        colour = _farthest(colours, under.mean(dim=(1, 2)))
        image[:, place[0], place[1]] = under + ink * (colour[:, None, None] - under)
        labels[place] = torch.where(ink > INK, digits[scan] + 1, GROUND)
    return image, labels


def draw_ink(paper: torch.Tensor, size: int) -> torch.Tensor:
    """(size, size) in [0, 1], how much ink is where: a scan (3, h, h), uint8, as a square of ``size`` pixels."""
    ink = 1 - paper[:1].float() / 255
    return F.interpolate(ink[None], size=(size, size), mode="bilinear", antialias=True)[0, 0].clamp(0, 1)


def draw_colours(digit: int, generator: torch.Generator) -> torch.Tensor:
    """(COLOURS, 3) RGB in [0, 1]: colours of a digit's hues, neither grey nor dark."""
    hue, saturation, value = torch.rand(3, COLOURS, 1, generator=generator)
    hue = digit / 10 + HUES * (2 * hue - 1)
    place = (torch.tensor([5.0, 3.0, 1.0]) + 6 * hue) % 6  # of each channel on the circle, see HSV
    return (0.4 + 0.6 * value) * (1 - (0.5 + 0.5 * saturation) * torch.minimum(place, 4 - place).clamp(0, 1))


def draw_ground(side: int, generator: torch.Generator) -> torch.Tensor:
    """(3, side, side) in [0, 1]: a smooth field of colours, with stripes, and with grain."""
    knots = _between(2, 4, generator)
    field = torch.rand(1, 3, knots, knots, generator=generator)
    smooth = F.interpolate(field, size=(side, side), mode="bilinear", align_corners=True)[0]
    base = torch.rand(3, 1, 1, generator=generator)
    angle, phase, fineness, strength, grain = torch.rand(5, generator=generator).tolist()
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    along = x * math.cos(math.pi * angle) + y * math.sin(math.pi * angle)
    stripes = torch.sin(2 * math.pi * (along / (4 + 12 * fineness) + phase))  # periods of 4 to 16 pixels
    noise = torch.randn(1, side, side, generator=generator)
    ground = base + 0.4 * (smooth - 0.5) + 0.12 * strength * stripes + 0.05 * grain * noise
    return ground.clamp(0, 1)


def _free_place(taken: torch.Tensor, size: int, generator: torch.Generator) -> tuple[slice, slice] | None:
    """Rows and columns of a square in which nothing is taken; ``None`` = none was found."""
    place = None
    for top, left in torch.randint(0, len(taken) - size + 1, (TRIES, 2), generator=generator).tolist():
        square = slice(top, top + size), slice(left, left + size)
        if place is None and not taken[square].any():
            place = square
    return place


def _farthest(colours: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(3,): of colours (N, 3) the one whose distance to another (3,) is largest."""
    return colours[(colours - other).square().sum(dim=1).argmax()]


def _between(lowest: int, highest: int, generator: torch.Generator) -> int:
    """A whole number, both ends included."""
    return int(torch.randint(lowest, highest + 1, (), generator=generator))
