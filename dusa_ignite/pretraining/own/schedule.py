"""What changes from update to update by plan: the learning rate, and how far the averaged weights follow."""

from __future__ import annotations

import math

import torch
from torch import nn


def learning_rate(update: int, *, highest: float, warmup: int, iterations: int) -> float:
    """Up in equal steps to ``highest`` at update ``warmup``, then down half a cosine, to 0 behind the last one.

    Args:
        update: from 1 on.
        highest: > 0.
        warmup: updates of the rise, < ``iterations``.
        iterations: updates in all.
    """
    if update <= warmup:
        return highest * update / warmup
    return highest * (1 + math.cos(math.pi * (update - warmup) / (iterations - warmup + 1))) / 2


def average_decay(update: int, *, highest: float) -> float:
    """Of the averaged weights: lower at first, so that the start is soon forgotten; ``update`` is from 1 on."""
    return min(highest, update / (update + 9))


@torch.no_grad()
def average_into(average: nn.Module, model: nn.Module, *, decay: float) -> None:
    """Let the averaged weights follow the model; buffers, and numbers that are counts, are copied."""
    own = average.state_dict()
    parameters = {name for name, _ in model.named_parameters()}
    for name, value in model.state_dict().items():
        if name in parameters:
            own[name].lerp_(value, 1 - decay)
        else:
            own[name].copy_(value)
