"""The objective of one window: the weighted sum of the classes' predictions, place by place, against the noise."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def window_loss(
    weights: torch.Tensor, predictions: torch.Tensor, target: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The mean square error of one window (DUSA paper, section 4.3).

    Where the mask says no, prediction and target are both set to zero; the mean is still over all places, so a window
    with fewer places that count has a smaller loss and gradient, as in the authors' code.

    Args:
        weights: (1, K, h, w) of :func:`dusa_ignite.segmentation.classes.class_weights`, with a graph to the logits.
        predictions: (K, C, h, w), the guide's for each kept class; the gradient reaches the guide.
        target: (1, C, h, w), the noise.
        mask: (1, 1, h, w) bool.

    Returns:
        Scalar, >= 0.
    """
    combined = (weights.transpose(0, 1).to(predictions.dtype) * predictions).sum(dim=0, keepdim=True)
    return F.mse_loss(combined * mask, target * mask)
