"""The sampled backward for windows: one drawn class stands for all of a window's in the guide's gradient.

With v_k the prediction for class k, J_k its derivative with respect to the guide's parameters, and g_k the loss's
derivative with respect to v_k (which holds the weights of k at every place), the guide's gradient is

    sum_k J_k^T g_k.

Draw k with any probabilities q_k that are positive wherever g_k is not zero: then J_k^T g_k / q_k has this sum as its
mean. In classification g_k is w_k g, one number times what all candidates share, and q = w is at hand. Here the
weights vary from place to place, so there is no such number; but g_k is known exactly before any graph is needed, from
predictions without one. q_k proportional to ||g_k|| takes the weights of all places into account, and what is carried
back has the same norm whatever is drawn, sum_k ||g_k||: no class that hardly matters can be blown up.

The segmenter's gradient needs only the values v_k and stays exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def draw_probabilities(gradients: torch.Tensor) -> torch.Tensor:
    """(K,) float64 q_k, proportional to the norms of gradients (K, ...); equal where all are 0 or not all finite."""
    norms = gradients.flatten(1).double().norm(dim=1)
    total = norms.sum()
    if not (total.isfinite() and total > 0):
        return torch.full_like(norms, 1 / len(norms))
    return norms / total


def sample_pairs(
    gradients: torch.Tensor, counts: Sequence[int], uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One pair of window and class per window, and what it carries back.

    Args:
        gradients: (N, C, h, w) g of all pairs, window after window.
        counts: K of each of the W windows; they sum to N.
        uniform: (W,) in [0, 1).

    Returns:
        Positions (W,) int64 in the row of pairs, and (W, C, h, w): g_k / q_k of each.
    """
    positions, carried, start = [], [], 0
    for own, number in zip(gradients.split(list(counts)), uniform, strict=True):
        q = draw_probabilities(own)
        drawn = int((number >= q.cumsum(dim=0)[:-1]).sum())
        positions.append(start + drawn)
        carried.append(own[drawn] / q[drawn].to(own.dtype))
        start += len(own)
    return torch.tensor(positions, device=gradients.device), torch.stack(carried)
