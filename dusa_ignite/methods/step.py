"""Pieces that every update is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch


def chunks(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``range(count)``."""
    for start in range(0, count, max(size, 1)):
        yield slice(start, min(start + size, count))


def trainable_parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """All parameters of an optimizer, group after group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def finite_step(
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    parameters: Sequence[torch.nn.Parameter],
    loss: float,
) -> bool:
    """Take the optimizer's step if the loss and every gradient are finite, then drop the gradients.

    Gradients and loss must already be those of the global batch, so that all processes decide alike.

    Returns:
        Whether the step was taken.
    """
    scaler.unscale_(optimizer)
    finite = math.isfinite(loss) and _all_finite([p.grad for p in parameters if p.grad is not None])
    if finite:
        scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return finite


def _all_finite(gradients: list[torch.Tensor]) -> bool:
    if not gradients:
        return True
    norms = torch.stack([gradient.abs().amax().double() for gradient in gradients])  # one transfer for all
    return bool(norms.isfinite().all())
