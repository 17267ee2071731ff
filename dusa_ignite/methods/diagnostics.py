"""Does the guide tell likely classes from unlikely ones? Numbers that answer it without a label."""

from __future__ import annotations

import math

import torch

from dusa_ignite.distributed.collectives import global_sums


def guidance_diagnostics(losses: torch.Tensor, *, num_top: int, total: float) -> dict[str, float]:
    """Averages over the global batch of how the guide rates the candidates.

    Args:
        losses: (B, K) mean squared error of each candidate's own prediction; the first ``num_top`` columns are the
            classifier's favourites, the others were drawn.
        num_top: favourites per image.
        total: images in the global batch, >= 1.

    Returns:
        ``loss_top_<i>`` and ``loss_rand_<i>``; and, where there are drawn candidates, ``auc``: how often a favourite
        has the smaller loss of a (favourite, drawn) pair, in [0, 1], ties counting half; ``auc_std``: its standard
        deviation over images; ``gap_norm``: mean loss of the drawn ones less that of the favourites, in standard
        deviations of the image's candidate losses.
    """
    top, drawn = losses[:, :num_top], losses[:, num_top:]
    names = [f"loss_top_{i}" for i in range(top.shape[1])] + [f"loss_rand_{i}" for i in range(drawn.shape[1])]
    sums = losses.sum(dim=0)
    if drawn.shape[1]:
        names += ["auc", "auc_std", "gap_norm"]
        difference = drawn[:, None, :] - top[:, :, None]
        wins = (difference.sign().mean(dim=(1, 2)) + 1) / 2  # (B,), a tie is half a win
        spread = losses.std(dim=1, correction=0) if len(losses) else losses.sum(dim=1)  # std warns of an empty share
        spread = spread.clamp_min(torch.finfo(losses.dtype).tiny)
        gap = (drawn.mean(dim=1) - top.mean(dim=1)) / spread
        sums = torch.cat([sums, torch.stack([wins.sum(), wins.square().sum(), gap.sum()])])
    means = {name: value / total for name, value in zip(names, global_sums(sums), strict=True)}
    if "auc_std" in means:
        means["auc_std"] = math.sqrt(max(means["auc_std"] - means["auc"] ** 2, 0.0))
    return means
