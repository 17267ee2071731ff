"""Tars of images, and the same images in folders."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def save_images(root: Path, names: Sequence[str], *, size: int = 8) -> None:
    """Noise images at ``<root>/<name>``, as PNG whatever their name; the position in ``names`` is the seed."""
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name, format="PNG")


def pack(tar: Path, root: Path, names: Sequence[str], *, prefix: str = "") -> None:
    """A tar of ``<root>/<name>`` for each name, which gets ``prefix``, in the order given."""
    with tarfile.open(tar, "w") as file:
        for name in names:
            file.add(root / name, arcname=prefix + name, recursive=False)
