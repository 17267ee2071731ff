"""LAME: neighbours should agree (Boudiaf et al., CVPR 2022, arXiv 2201.05718).

The classifier stays as it is; only its output for a batch is adjusted. With p_i its prediction for image i, and
w_ij = 1 where j is among the k nearest neighbours of i in the space of normalised features, the assignments z_i
minimise

    sum_i KL(z_i || p_i) - sum_ij w_ij z_i . z_j

by the concave-convex procedure z_i <- softmax(log p_i + sum_j w_ij z_j).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from dusa_ignite.distributed.collectives import gather_batch, global_max, position_in_batch
from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.models.forward import slices
from dusa_ignite.models.views import Images


class Lame(Method):
    """Adjusts the output of every batch, and learns nothing; its loss is NaN.

    The predictions are the logarithms of the adjusted assignments; ``diagnostics`` have ``changed``, the share of
    images whose class the adjustment changed.
    """

    class Options(Method.Options):
        """Neighbours in a batch should agree; nothing is learnt (arXiv 2201.05718)."""

        name: Literal["lame"] = "lame"
        num_neighbours: int = Field(default=5, ge=1, description="per image, >= 1")
        max_steps: int = Field(default=100, ge=1, le=1_000_000, description="of the adjustment, >= 1")

    trains = "nothing"
    source_statistics = True
    smallest_batch = 2

    @torch.no_grad()
    def adapt(self, images: Images, batch: Batch) -> Step:
        """Predict, and adjust over the global batch."""
        logits, features = self.predict_with_features(images)
        everything = gather_batch(torch.cat([logits, features], dim=1))
        everyones_logits, everyones_features = everything.split([logits.shape[1], features.shape[1]], dim=1)
        finite = everything.isfinite().all(dim=1)  # one image that is not must not become the neighbour of all others
        affinity = neighbours(everyones_features[finite], num_neighbours=self.options.num_neighbours)
        adjusted = everyones_logits.clone()
        adjusted[finite] = adjust(everyones_logits[finite], affinity, max_steps=self.options.max_steps)
        changed = (adjusted.argmax(dim=1) != everyones_logits.argmax(dim=1)).double()
        return Step(
            adjusted[position_in_batch(len(logits))],
            diagnostics={"changed": changed.mean().item() if len(changed) else 0.0},
        )

    def predict_with_features(self, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, C) and the features before the last layer (B, D), in micro-batches."""
        none = torch.empty(0, dtype=self.dtype, device=self.device)
        parts = [
            self.classifier.forward_with_features(images[part]) for part in slices(len(images), self.micro_batch_size)
        ]
        # A share without images learns the features' width from the others.
        width = int(global_max(parts[0][1].shape[1] if parts else 0))
        logits = torch.cat([none.new_empty(0, self.classifier.num_classes), *(logits for logits, _ in parts)])
        return logits, torch.cat([none.new_empty(0, width), *(features for _, features in parts)])


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
