"""Losses that methods share: of the guide's predictions against the path's target, and between predictions."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from dusa_ignite.methods.candidates import candidate_weights
from dusa_ignite.utils.section import Section

DISTANCES = ("mse", "norm_l2")


class Loss(Section):
    """How far the weighted prediction is from the path's target, see :func:`image_losses`."""

    distance: Literal["mse", "norm_l2"] = Field(
        default="mse", description="e, or e / (e + c)^p detached; e = mean square"
    )
    p: float = Field(default=0.5, ge=0, description="power of norm_l2, >= 0")
    c: float = Field(default=1e-3, gt=0, description="offset of norm_l2, > 0")
    cosine_weight: float = Field(default=0.0, ge=0, description="weight of 1 - cosine similarity, >= 0")


def squared_errors(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(B,) mean squared errors between predictions and targets (B, ...), image by image."""
    return (prediction.flatten(1) - target.flatten(1)).square().mean(dim=1)


def image_losses(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    distance: str,
    p: float,
    c: float,
    cosine_weight: float,
) -> torch.Tensor:
    """Losses between predictions and targets, image by image.

    With e the mean squared error of an image: ``mse`` is e, as in the paper; ``norm_l2`` is e / (e + c)^p, the
    denominator taken as a constant: the adaptively weighted loss of MeanFlow (Geng et al. 2025, arXiv 2505.13447), with
    a mean in the place of its sum.

    Args:
        prediction, target: (B, ...); the gradient reaches the prediction.
        distance: ``mse`` or ``norm_l2``.
        p: power of ``norm_l2``, >= 0; 0 is ``mse``, 1 has the gradient of log(e + c).
        c: offset of ``norm_l2``, > 0, in the unit of e; keeps small errors from weighing without bound.
        cosine_weight: of 1 - cosine similarity of the flattened arrays, which is added, >= 0.

    Returns:
        (B,), >= 0.

    Raises:
        ValueError: unknown distance.
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {DISTANCES}, not {distance!r}")
    loss = squared_errors(prediction, target)
    if distance == "norm_l2":
        loss = loss / (loss.detach() + c).pow(p)
    if cosine_weight:
        loss = loss + cosine_weight * (1 - F.cosine_similarity(prediction.flatten(1), target.flatten(1), dim=1))
    return loss


def dusa_loss(
    logits: torch.Tensor,
    candidates: torch.Tensor,
    predictions: torch.Tensor,
    target: torch.Tensor,
    *,
    normalise_logits: bool,
    distance: str,
    p: float,
    c: float,
    cosine_weight: float,
    carrier: torch.Tensor | None = None,
) -> torch.Tensor:
    """DUSA's objective: the weighted sum of the conditional predictions against what the path asks for.

    Args:
        logits: (B, C) raw logits; the gradient reaches them through the weights.
        candidates: (B, K) int64 classes.
        predictions: (B, K, ...) one prediction per candidate; the gradient reaches the guide through them.
        target: (B, ...) noise or velocity.
        normalise_logits: whether the weights are taken over L2-normalised logits, as in the paper.
        distance, p, c, cosine_weight: see :func:`image_losses`.
        carrier: (B, ...) zeros that are added to the weighted sum, so that its gradient reaches what they were made of.

    Returns:
        Scalar, the mean over the batch (DUSA paper, equation 10).
    """
    weights = candidate_weights(logits, candidates, normalise_logits=normalise_logits)
    combined = torch.einsum("bk,bk...->b...", weights.to(predictions.dtype), predictions)
    if carrier is not None:
        combined = combined + carrier
    losses = image_losses(combined, target, distance=distance, p=p, c=c, cosine_weight=cosine_weight)
    return losses.mean()


def symmetric_cross_entropy(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(B,) the mean of both cross-entropies between the predictions that two logits (B, C) stand for."""
    own, other = logits.log_softmax(dim=1), others.log_softmax(dim=1)
    return -(other.exp() * own + own.exp() * other).sum(dim=1) / 2
