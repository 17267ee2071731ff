"""Canvases to train on and to measure on, and endless batches of them and of their windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from dusa_ignite.data.digits import clean_half, to_uint8, validation_mask
from dusa_ignite.data.segmentation.drawing import draw_canvas
from dusa_ignite.pretraining.loop import Labelled
from dusa_ignite.utils.seeding import derive_seed


class Drawn(NamedTuple):
    """Canvases in memory.

    Attributes:
        images: uint8 (N, 3, side, side).
        maps: int64 (N, side, side), the class of every pixel.
    """

    images: torch.Tensor
    maps: torch.Tensor


def draw_canvases(count: int, *, side: int, seed: int, validation: bool) -> Drawn:
    """Canvases with digits of the clean half: of its validation part, or of the rest.

    Args:
        count: how many, >= 1.
        side: in pixels.
        seed: canvas k depends on it, on k and on ``validation`` alone.
        validation: which part.

    Raises:
        DataError: scikit-learn is missing.
    """
    paper, digits = clean_half()
    held_out = validation_mask(len(digits))
    chosen = held_out if validation else ~held_out
    paper, digits = paper[chosen], digits[chosen]
    images = torch.empty(count, 3, side, side, dtype=torch.uint8)
    maps = torch.empty(count, side, side, dtype=torch.int64)
    part = "validation" if validation else "training"
    for index in range(count):
        generator = torch.Generator().manual_seed(derive_seed(seed, "canvas", part, index))
        image, maps[index] = draw_canvas(paper, digits, side=side, generator=generator)
        images[index] = to_uint8(image)
    return Drawn(images, maps)


def window_batches(drawn: Drawn, *, size: int, batch_size: int, generator: torch.Generator) -> Iterator[Labelled]:
    """Random windows of canvases drawn at random, without end; of the size of a canvas these are whole canvases.

    Yields:
        Images, float (B, 3, size, size) in [0, 1], and maps, int64 (B, size, size).
    """
    side = drawn.images.shape[-1]
    while True:
        chosen = torch.randint(0, len(drawn.images), (batch_size,), generator=generator).tolist()
        places = torch.randint(0, side - size + 1, (batch_size, 2), generator=generator).tolist()
        windows = [
            (number, slice(top, top + size), slice(left, left + size))
            for number, (top, left) in zip(chosen, places, strict=True)
        ]
        images = torch.stack([drawn.images[number, :, rows, columns] for number, rows, columns in windows])
        maps = torch.stack([drawn.maps[number, rows, columns] for number, rows, columns in windows])
        yield images / 255, maps
