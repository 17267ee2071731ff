"""Runs that segment: tiny models of the real families, and a folder of small images with label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from dusa_ignite.config import Config, load_config
from dusa_ignite.results.rows import TIME_COLUMNS, read_csv
from support.tiny_diffusion import CLASSES, write_controlnet, write_segformer, write_stable_diffusion

TASKS = {"fog": 3, "snow": 2}  # images
UNLABELLED = 255


def write_models(folder: Path) -> Path:
    """``segformer``, ``sd`` and ``control``."""
    write_segformer(folder / "segformer")
    write_stable_diffusion(folder / "sd")
    write_controlnet(folder / "control")
    return folder


def write_data(folder: Path) -> Path:
    """``images/<task>/*.png`` and ``masks/<task>/*.png``; sizes differ, some pixels are unlabelled."""
    rng = np.random.default_rng(0)
    for task, count in TASKS.items():
        for number in range(count):
            height, width = (32, 32 + 8 * number) if task == "fog" else (40, 40 + 10 * number)
            labels = rng.integers(0, len(CLASSES), (4, 4)).astype(np.uint8).repeat(height // 4, 0)
            labels = labels[:, np.arange(width) * 4 // width]
            pixels = (40 * labels[..., None] + rng.integers(0, 40, (height, width, 3))).astype(np.uint8)
            labels[:2] = UNLABELLED
            for kind, content in (("images", pixels), ("masks", labels)):
                place = folder / kind / task
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(content).save(place / f"{number}.png")
    return folder


def configure(models: Path, data: Path, output: Path, *overrides: str) -> Config:
    """A run with window_dusa in float64, image by image."""
    content: dict[str, Any] = {
        "name": "run",
        "problem": "segmentation",
        "output_dir": str(output),
        "resume": "auto",
        "run": {"precision": "float64"},
        "data": {
            "name": "mask_folder",
            "root": str(data),
            "classes": list(CLASSES),
            "batch_size": 1,
            "micro_batch_size": 8,
            "num_workers": 0,
        },
        "classifier": {"name": f"transformers:{models / 'segformer'}", "num_classes": len(CLASSES), "image_size": 32},
        "unet": {"pretrained": str(models / "sd"), "controlnet": str(models / "control")},
        "time": {"name": "fixed", "t": 0.1},
        "method": {"name": "window_dusa", "window": 32, "stride": 16, "top_per_pixel": 2, "max_classes": 3},
        "optimizer": {"name": "adamw", "lr": 1e-3},
    }
    output.mkdir(parents=True, exist_ok=True)
    path = output / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_config(path, overrides)


def outcome(folder: Path) -> tuple[list[dict[str, Any]], bytes, dict[str, bytes]]:
    """What must not depend on how a run was computed: results without times, predictions, and label maps."""
    run = folder / "run"
    rows = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_csv(run / "results.csv")]
    maps = {str(path.relative_to(run)): path.read_bytes() for path in sorted((run / "predictions").rglob("*.png"))}
    return rows, (run / "predictions.csv").read_bytes(), maps
