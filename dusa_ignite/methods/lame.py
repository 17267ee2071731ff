"""LAME: neighbours should agree (Boudiaf et al., CVPR 2022, arXiv 2201.05718).

The classifier stays as it is; only its output for a batch is adjusted. With p_i its prediction for image i, and
w_ij = 1 where j is among the k nearest neighbours of i in the space of normalised features, the assignments z_i
minimise

    sum_i KL(z_i || p_i) - sum_ij w_ij z_i . z_j

by the concave-convex procedure z_i <- softmax(log p_i + sum_j w_ij z_j).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine
from torch.nn import functional as F

from dusa_ignite.distributed.collectives import gather_batch, global_max, position_in_batch
from dusa_ignite.methods.step import Update
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float


def lame(
    *,
    classifier: Classifier,
    micro_batch_size: int,
    num_neighbours: int = 5,
    max_steps: int = 100,
) -> Update:
    """The process function that adjusts the output of every batch, and learns nothing; its loss is NaN.

    Args:
        classifier: in eval mode, its BatchNorm layers on the stored source statistics.
        micro_batch_size: images predicted at once; no effect on results.
        num_neighbours: k, >= 1; at most all others of a batch are taken.
        max_steps: at which the procedure ends, if it has not converged, >= 1.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`. ``y_pred`` are the
        logarithms of the adjusted assignments; ``diagnostics`` has ``changed``, the share of images whose class the
        adjustment changed.

    Raises:
        ValueError: the classifier's BatchNorm layers use the batch's statistics.
    """
    if classifier.uses_batch_statistics:
        raise ValueError("lame needs a classifier with batch_norm='source'")
    parameter = next(classifier.parameters())
    device, dtype = parameter.device, parameter.dtype

    @torch.no_grad()
    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        parts = [classifier.forward_with_features(images[part]) for part in slices(len(images), micro_batch_size)]
        logits = torch.cat([parameter.new_empty(0, classifier.num_classes), *(logits for logits, _ in parts)])
        width = int(
            global_max(parts[0][1].shape[1] if parts else 0)
        )  # a share without images learns it from the others
        features = torch.cat([parameter.new_empty(0, width), *(features for _, features in parts)])
        everything = gather_batch(torch.cat([logits, features], dim=1))
        everyones_logits, everyones_features = everything.split([logits.shape[1], features.shape[1]], dim=1)
        affinity = neighbours(everyones_features, num_neighbours=num_neighbours)
        adjusted = adjust(everyones_logits, affinity, max_steps=max_steps)
        changed = (adjusted.argmax(dim=1) != everyones_logits.argmax(dim=1)).double()
        return {
            "y_pred": adjusted[position_in_batch(len(logits))],
            "y": batch["labels"].to(device),
            "loss": math.nan,
            "diagnostics": {"changed": changed.mean().item() if len(changed) else 0.0, "skipped_update": 0.0},
        }

    return update


def neighbours(features: torch.Tensor, *, num_neighbours: int) -> torch.Tensor:
    """(B, B) affinity of features (B, D): 1 in row i for the nearest others of i in angle, 0 for all else."""
    directions = F.normalize(features, dim=1)
    similarity = directions @ directions.T
    similarity.fill_diagonal_(-torch.inf)
    count = max(min(num_neighbours, len(features) - 1), 0)
    return torch.zeros_like(similarity).scatter_(1, similarity.topk(count, dim=1).indices, 1.0)


def adjust(logits: torch.Tensor, affinity: torch.Tensor, *, max_steps: int) -> torch.Tensor:
    """(B, C) logarithms of the assignments that minimise LAME's objective.

    Ends where the objective changes by less than 1e-8 of itself, as in the authors' code.

    Args:
        logits: (B, C).
        affinity: (B, B), w_ij >= 0.
        max_steps: >= 1.
    """
    log_p = logits.log_softmax(dim=1)
    log_z, before = log_p, math.inf
    for step in range(max_steps):
        pull = affinity @ log_z.exp()
        log_z = (log_p + pull).log_softmax(dim=1)
        objective = (log_z.exp() * (log_z - log_p - pull)).sum().item()
        if step > 1 and abs(objective - before) <= 1e-8 * abs(before):
            break
        before = objective
    return log_z
