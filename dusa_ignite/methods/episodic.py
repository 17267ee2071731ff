"""Predicting with what has just been learned, for the episodic setting (Zhang et al. 2022, MEMO, arXiv 2110.09506)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.methods.step import chunks
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float

Update = Callable[[Engine, dict[str, Any]], dict[str, Any]]


def predict_after(update: Update, classifier: Classifier, *, micro_batch_size: int) -> Update:
    """A process function whose ``y_pred`` are the logits from after the update.

    Where the model is reset before every batch, those from before the update would be Source's.

    Args:
        update: a method's process function.
        classifier: what it adapts.
        micro_batch_size: images predicted at once.
    """
    parameter = next(classifier.parameters())

    def update_then_predict(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        output = update(engine, batch)
        images = to_float(batch["images"], device=parameter.device, dtype=parameter.dtype)
        count = len(images)
        with torch.no_grad():
            parts = chunks(count, count if classifier.mixes_images else micro_batch_size)
            logits = [classifier(images[part]) for part in parts]
        return {**output, "y_pred": torch.cat([output["y_pred"][:0], *logits])}

    return update_then_predict
