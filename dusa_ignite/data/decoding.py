"""Image files, decoded to uint8 RGB tensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from dusa_ignite.errors import DataError


def read_image(path: str | Path) -> torch.Tensor:
    """Decode one image file completely, see :func:`decode_image`.

    Args:
        path: the file; its format is told from its content, not from its name.

    Returns:
        uint8 RGB (3, H, W).

    Raises:
        DataError: the file is missing, empty, truncated, no image, or has 32 bits per channel (whose white is unknown).
    """
    return _decode(path, name=str(path), size=lambda: os.path.getsize(path))


def decode_image(content: bytes, *, name: str) -> torch.Tensor:
    """Decode the bytes of one image file completely.

    The image is turned upright as its EXIF orientation says and brought to 8-bit RGB: greyscale is repeated over the
    channels, 16-bit greyscale is scaled so that 65535 becomes 255, of 16-bit colour Pillow takes the upper 8 bits,
    transparent parts (alpha) lie on white, CMYK and palettes are converted, and of an animation the first frame is
    taken. (The files of ImageNet-C carry no orientation.)

    Args:
        content: of the file; its format is told from it.
        name: for error messages.

    Returns:
        uint8 RGB (3, H, W).

    Raises:
        DataError: as :func:`read_image` does.
    """
    return _decode(BytesIO(content), name=name, size=lambda: len(content))


def _decode(source: str | Path | IO[bytes], *, name: str, size: Callable[[], int]) -> torch.Tensor:
    try:
        with Image.open(source) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _to_rgb(image, name)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # on damaged bytes Pillow's decoders raise almost any type
        raise DataError(f"{name}: cannot read this image ({_reason(error, size)})") from error
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in ("I", "F"):
        raise DataError(f"{name}: has 32 bits per channel; save it with 8 or 16")
    if image.mode.startswith("I;16"):
        # Pillow would clip at 255. (v + 128) // 257 is v * 255 / 65535, rounded.
        eight_bit = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(eight_bit.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception, size: Callable[[], int]) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "the file is empty" if size() == 0 else "not an image, or of an unknown format"
    return " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
