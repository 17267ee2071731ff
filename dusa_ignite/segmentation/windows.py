"""Square windows that slide over an image, and the part of its logits that belongs to each."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Window(NamedTuple):
    """Where a window lies in the image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def window_starts(length: int, *, size: int, stride: int) -> list[int]:
    """Where windows begin along one axis: at 0, stride, 2 stride, ..., and the last one ends where the axis ends.

    Args:
        length: of the axis in pixels, >= size.
        size: of a window, >= 1.
        stride: between two windows, >= 1, at most ``size``, so that nothing is left out.

    Raises:
        ValueError: a number is out of its range.
    """
    if not 1 <= size <= length:
        raise ValueError(
            f"a window of {size} pixels does not fit an image of {length}; the image must be enlarged before"
        )
    if not 1 <= stride <= size:
        raise ValueError(f"stride {stride} is not in 1 .. {size}, the window's size")
    last = length - size
    return [*range(0, last, stride), last]


def sliding_windows(height: int, width: int, *, size: int, stride: int) -> list[Window]:
    """The windows of an image, row by row, along both axes.

    The authors' code slides along the width alone (its vertical stride is 0), so the lower rows of tall images are
    never seen; here they are. For images that are not taller than a window the windows are the same.

    Raises:
        ValueError: see :func:`window_starts`.
    """
    return [
        Window(top, left, size, size)
        for top in window_starts(height, size=size, stride=stride)
        for left in window_starts(width, size=size, stride=stride)
    ]


def crop_image(images: torch.Tensor, window: Window) -> torch.Tensor:
    """(B, C, height, width): the window's part of images (B, C, H, W)."""
    return images[..., window.top : window.top + window.height, window.left : window.left + window.width]


def crop_logits(logits: torch.Tensor, window: Window, *, image_size: tuple[int, int]) -> torch.Tensor:
    """The window's part of logits (B, C, h, w) of an image of ``image_size`` (H, W).

    Its borders follow the logits' own scale, h / H and w / W, rounded to whole logits (halves upwards), and hold at
    least one. The authors' code takes an eighth of the window's offsets, although its logits have a quarter of the
    resolution, and so sets logits of other places beside the window's image.
    """
    height, width = logits.shape[-2:]
    rows = _scaled(window.top, window.height, of=image_size[0], to=height)
    columns = _scaled(window.left, window.width, of=image_size[1], to=width)
    return logits[..., rows, columns]


def _scaled(start: int, size: int, *, of: int, to: int) -> slice:
    first, end = ((2 * place * to + of) // (2 * of) for place in (start, start + size))
    first = min(first, to - 1)
    return slice(first, max(end, first + 1))
