"""Pre-training on canvases: the segmenter that the demo of segmentation adapts, and the UNet that guides it.

Both are trained on digits of the clean half of :mod:`dusa_ignite.data.digits`, drawn on textured ground, by the loop of
:mod:`dusa_ignite.pretraining.loop`. What is kept are the exponential moving averages of their weights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dusa_ignite.pretraining.digits import METRICS, seed_all
from dusa_ignite.pretraining.free_folder import make_free
from dusa_ignite.pretraining.shapes_config import ShapesConfig
from dusa_ignite.pretraining.shapes_data import Drawn, draw_canvases
from dusa_ignite.pretraining.shapes_guide import train_guide, write_guide
from dusa_ignite.pretraining.shapes_segmenter import train_segmenter
from dusa_ignite.results.rows import write_json
from dusa_ignite.segmentation.extra import transformers_for
from dusa_ignite.segmentation.load_segmenter import save_segmenter

logger = logging.getLogger(__name__)

MODELS: dict[str, tuple[Callable[..., Any], Callable[..., None]]] = {  # how each is trained and written; in this order
    "segmenter": (train_segmenter, save_segmenter),
    "guide": (train_guide, write_guide),
}


def pretrain(config: ShapesConfig, *, overwrite: bool = False) -> dict[str, Any]:
    """Train both models and write ``segmenter/``, ``guide/`` and ``metrics.json`` to ``config.output_dir``.

    Returns:
        What ``metrics.json`` holds: scores in [0, 1], losses and seconds.

    Raises:
        ConfigError: the folder already holds results and ``overwrite`` is not given, or cannot be written to.
        DataError: scikit-learn is missing.
        UserError: transformers is not installed.
    """
    transformers_for("pretrain: the segmenter of the canvases")
    folder = Path(config.output_dir)
    make_free(folder, (*MODELS, METRICS), overwrite=overwrite)
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    training, validation = draw_both(config)
    metrics: dict[str, Any] = {"seed": config.seed}
    for name, (train, write) in MODELS.items():
        model, metrics[name] = train(
            getattr(config, name),
            training=training,
            validation=validation,
            generator=seed_all(config.seed, name),
            log_every_seconds=config.log_every_seconds,
        )
        write(model, folder / name)
    write_json(folder / METRICS, metrics)
    logger.info("models and metrics: %s", folder)
    return metrics


def draw_both(config: ShapesConfig) -> tuple[Drawn, Drawn]:
    """Canvases to train on, and canvases to measure on; no digit is in both."""
    options = config.canvases
    training = draw_canvases(options.training, side=options.side, seed=config.seed, validation=False)
    return training, draw_canvases(options.validation, side=options.side, seed=config.seed, validation=True)
