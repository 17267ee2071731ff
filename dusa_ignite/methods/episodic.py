"""Predicting with what has just been learned, for the episodic setting (Zhang et al. 2022, MEMO, arXiv 2110.09506)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.methods.step import Update, predict
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float


def predict_after(
    update: Update,
    classifier: Classifier,
    *,
    micro_batch_size: int,
    correct: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Update:
    """A process function whose ``y_pred`` are the logits from after the update.

    Where the model is reset before every batch, those from before the update would be Source's.

    Args:
        update: a method's process function.
        classifier: what it adapts.
        micro_batch_size: images predicted at once, >= 1.
        correct: what the method makes of this process's logits (B, C) before it predicts, called by all processes;
            ``None`` = nothing.

    Returns:
        ``update(engine, batch) -> output``, the output of ``update`` but for ``y_pred``.
    """
    parameter = next(classifier.parameters())

    def update_then_predict(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        output = update(engine, batch)
        images = to_float(batch["images"], device=parameter.device, dtype=parameter.dtype)
        logits = predict(classifier, images, micro_batch_size=micro_batch_size)
        return {**output, "y_pred": logits if correct is None else correct(logits)}

    return update_then_predict
