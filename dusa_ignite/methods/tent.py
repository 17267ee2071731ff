"""Tent: entropy minimisation (Wang et al., ICLR 2021, arXiv 2006.10726).

The loss is the mean entropy H = -sum_c p_c log p_c of the predictions for a batch; the affine parameters of the norm
layers learn from it. Published for ImageNet-C: SGD, learning rate 2.5e-4, momentum 0.9, batches of 64; BatchNorm
with the batch's statistics.
"""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.methods.entropy import backpropagate_entropy
from dusa_ignite.methods.step import Update, finite_step, trainable_parameters
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float


def tent(*, classifier: Classifier, optimizer: torch.optim.Optimizer, micro_batch_size: int) -> Update:
    """The process function of one Tent update per batch.

    Args:
        classifier: in eval mode.
        optimizer: over the parameters that learn, in the paper those of the norm layers.
        micro_batch_size: images in the graph at once; no effect on results. A classifier whose BatchNorm uses the
            batch's statistics sees the whole batch at once all the same.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`.
    """
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        logits, _, loss, number = backpropagate_entropy(
            classifier,
            images,
            lambda logits, entropies: torch.ones_like(entropies),
            parameters=parameters,
            micro_batch_size=micro_batch_size,
        )
        skipped = number > 0 and not finite_step(optimizer, parameters, loss)
        return {
            "y_pred": logits,
            "y": batch["labels"].to(device),
            "loss": loss,
            "diagnostics": {"skipped_update": float(skipped)},
        }

    return update
