"""Small pictures as text."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from support.toys import Images

from dusa_ignite.data import Task
from dusa_ignite.results.digest import Changed
from dusa_ignite.results.thumbnails import thumbnail, thumbnails


def decoded(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_small_images_stay_as_they_are() -> None:
    pixels = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)
    found = thumbnail(pixels)
    assert found.small
    assert found.uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(decoded(found.uri)), pixels.permute(1, 2, 0).numpy())


def test_large_images_shrink() -> None:
    found = thumbnail(torch.zeros(3, 400, 800, dtype=torch.uint8))
    assert not found.small
    assert decoded(found.uri).size == (192, 96)
    assert decoded(found.uri).format == "JPEG"


def test_floats_and_grey_images() -> None:
    picture = decoded(thumbnail(torch.full((1, 2, 2), 0.5)).uri)
    assert (picture.mode, picture.getpixel((0, 0))) == ("RGB", (128, 128, 128))


def test_images_that_cannot_be_read_are_left_out() -> None:
    images = [torch.zeros(3, 4, 4, dtype=torch.uint8)] * 3
    task = Task("fog", Images(images, [0, 0, 0], broken=[1]), ("a",))
    wanted = [Changed("fog", position, "", -1, 1, 1.0, 0, 1.0, "") for position in (0, 1, 7)]
    wanted.append(Changed("gone", 0, "", -1, 1, 1.0, 0, 1.0, ""))
    assert list(thumbnails([task], wanted)) == [("fog", 0)]
