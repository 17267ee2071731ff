"""The pixels of a picture that lies on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def pixels_of(path: Path) -> np.ndarray:
    """uint8 RGB (3, H, W) of a PNG; what is transparent is white.

    Raises:
        OSError: it cannot be read.
    """
    with Image.open(path) as picture:
        white = Image.new("RGBA", picture.size, "white")
        return np.asarray(Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")).transpose(2, 0, 1)
