"""Small pictures of images, as text that an HTML file can hold."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import torch
from PIL import Image

from dusa_ignite.data import Task
from dusa_ignite.results.digest import Changed

SIDE = 192  # pixels, the longer one at most
EXACT = 64  # up to here nothing is lost: PNG


class Thumbnail(NamedTuple):
    """A picture as a ``data:`` address.

    Attributes:
        uri: of the picture.
        small: whether it is so small that it should be shown with its pixels as squares.
    """

    uri: str
    small: bool


def thumbnails(tasks: Sequence[Task], images: Sequence[Changed]) -> dict[tuple[str, int], Thumbnail]:
    """The images, read again from their data sets, by task and position; those that cannot be read are left out."""
    datasets: Mapping[str, Any] = {task.name: task.dataset for task in tasks}
    found = {}
    for image in images:
        try:
            pixels, _ = datasets[image.task][image.position]
            found[image.task, image.position] = thumbnail(pixels)
        except Exception:  # of a user's own data set it may be any; the picture is the least of a report
            continue
    return found


def thumbnail(image: torch.Tensor) -> Thumbnail:
    """A picture of (3, H, W) or (1, H, W): uint8, or float in [0, 1]."""
    values = image.cpu() if image.dtype == torch.uint8 else (image.detach().cpu().float().clamp(0, 1) * 255).round()
    pixels = values.to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels)
    small = max(picture.size) <= EXACT
    picture.thumbnail((SIDE, SIDE))
    file = BytesIO()
    kind = "png" if small else "jpeg"
    picture.save(file, format=kind, **({} if small else {"quality": 80}))
    return Thumbnail(f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}", small)
