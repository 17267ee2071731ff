"""Label maps: PNG files in which every pixel holds the number of its class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dusa_ignite.errors import DataError

UNKNOWN = 255  # the label of pixels that nobody labelled; they are not scored
ONE_CHANNEL = ("L", "P", "1", "I", "I;16", "I;16B", "I;16L")


def read_label_map(path: Path, *, num_classes: int, zero_is_unknown: bool = False) -> torch.Tensor:
    """(H, W) int64: classes 0 .. num_classes - 1, and 255 for unknown.

    A palette's numbers are taken, not its colours.

    Args:
        path: of an image file with one channel.
        num_classes: C, at most 255.
        zero_is_unknown: the file counts classes from 1 and has 0 where there is none (ADE20K).

    Raises:
        DataError: the file cannot be read, has colours, or holds numbers that are no class; the message names it.
    """
    try:
        with Image.open(path) as image:
            image.load()
            mode, values = image.mode, np.array(image)
    except MemoryError:
        raise
    except Exception as error:  # on damaged bytes Pillow's decoders raise almost any type
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: cannot read this label map ({reason})") from error
    if mode not in ONE_CHANNEL:
        raise DataError(f"{path}: is a picture of mode {mode}; a label map has one channel with the numbers of classes")
    labels = torch.from_numpy(values.astype(np.int64))
    if zero_is_unknown:
        labels = torch.where((labels == 0) | (labels == UNKNOWN), UNKNOWN, labels - 1)
    strange = labels[(labels != UNKNOWN) & ((labels < 0) | (labels >= num_classes))]
    if len(strange):
        first, last = (1, num_classes) if zero_is_unknown else (0, num_classes - 1)
        unknown = "0" if zero_is_unknown else str(UNKNOWN)
        found = int(strange[0]) + zero_is_unknown
        raise DataError(
            f"{path}: holds {found}, which is no class; allowed: {first} .. {last}, and {unknown} for unknown"
        )
    return labels
