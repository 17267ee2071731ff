"""Source: the classifier as it is, without adaptation, in the same harness."""

from __future__ import annotations

import math
from typing import Any

from ignite.engine import Engine

from dusa_ignite.methods.step import Update, predict
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float


def source(*, classifier: Classifier, micro_batch_size: int) -> Update:
    """The process function that predicts and learns nothing; its loss is NaN.

    Args:
        classifier: in eval mode, its BatchNorm layers on the stored source statistics.
        micro_batch_size: images predicted at once.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`.

    Raises:
        ValueError: the classifier's BatchNorm layers use the batch's statistics, which would be adaptation.
    """
    if classifier.mixes_images:
        raise ValueError("source needs a classifier with batch_norm='source'")
    parameter = next(classifier.parameters())
    device, dtype = parameter.device, parameter.dtype

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        logits = predict(classifier, images, micro_batch_size=micro_batch_size)
        return {"y_pred": logits, "y": batch["labels"].to(device), "loss": math.nan, "diagnostics": {}}

    return update
