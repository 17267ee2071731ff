"""The optimizer's step, taken where it is safe, and which parameters it moves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from dusa_ignite.distributed.collectives import global_sum, local


def trainable_parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """All parameters of an optimizer, group after group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def named_trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters of a model that require gradients, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def finite_step(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[torch.nn.Parameter],
    loss: float,
    scaler: torch.amp.GradScaler | None = None,
) -> bool:
    """Take the optimizer's step if the loss and every gradient are finite, then drop the gradients.

    Gradients and loss must already be those of the global batch, so that all processes decide alike.

    Returns:
        Whether the step was taken.
    """
    if scaler is None or not scaler.is_enabled():
        overflow = not all_finite([local(p.grad) for p in parameters if p.grad is not None])
        finite = global_sum(float(overflow)) == 0 and math.isfinite(loss)  # shards differ from process to process
        if finite:
            optimizer.step()
    else:
        scaler.scale(torch.zeros((), device=parameters[0].device))  # a share without images has not touched it yet
        scaler.unscale_(optimizer)
        found = list(scaler._found_inf_per_device(optimizer).values())  # it has looked at every gradient itself
        overflow = global_sum(sum(float(flag) for flag in found)) > 0
        for flag in found:
            flag.fill_(float(overflow))  # all processes lower their scale, or none
        finite = not overflow and math.isfinite(loss)
        if finite:
            scaler.step(optimizer)
        scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return finite


def all_finite(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether no element is NaN or infinite, in a single transfer from the device."""
    extremes = [extreme for tensor in tensors if tensor.numel() for extreme in tensor.aminmax()]  # a shard may be empty
    return not extremes or bool(torch.stack(extremes).isfinite().all())
