"""Tiny trainings of one's own guides and classifiers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dusa_ignite.config import read_config
from dusa_ignite.pretraining.own.config import OwnConfig
from support.files import CONFIGS

TINY = (
    "num_threads=1",
    "image_size=8",
    "transformer={patch_size: 2, hidden_size: 32, depth: 1, num_heads: 2}",
    "classifier.name=test_convnext",
    "training={iterations: 12, batch_size: 6, lr: 3.0e-3, warmup: 3, ema_decay: 0.9}",
    "validation={every: 5, images: 6, samples: 1, steps: 2}",
    "checkpoint={every_minutes: null, every_updates: 4}",
)


def own_images(
    root: Path, *, classes: tuple[str, ...] = ("blue", "green", "red"), count: int = 6, side: int = 10
) -> Path:
    """A folder of noisy images, ``count`` per class, in which class k is bright in channel 2 - k."""
    draw = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = draw.integers(0, 100, (side, side, 3), dtype=np.uint8)
            pixels[..., 2 - label % 3] += 150
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def own_config(folder: Path, root: Path, *overrides: str) -> OwnConfig:
    """The shipped config, made tiny."""
    given = [f"output_dir={folder}", f"data.root={root}", *TINY, *overrides]
    return read_config(CONFIGS / "own_guide.yaml", given, schema=OwnConfig)
