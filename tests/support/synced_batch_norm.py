"""BatchNorm layers with the statistics of all processes' images, on CPUs, where torch has none.

Like torch's own SyncBatchNorm, they wait for all processes in every forward and backward pass.
"""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import distributed as dist
from torch import nn


def synchronise(model: nn.Module) -> None:
    """From now on, with several processes, the model's BatchNorm layers normalise with what all of them see."""
    if idist.get_world_size() > 1:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.__class__ = SyncedBatchNorm


class AddUp(torch.autograd.Function):
    """The sum over all processes, and in the backward pass that of its gradients."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return AddUp.forward(ctx, gradient)


class SyncedBatchNorm(nn.BatchNorm2d):
    """BatchNorm with the statistics of all processes' images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count = x.new_full((x.shape[1],), x.numel() // x.shape[1])
        moments = torch.stack([count, x.sum(dim=(0, 2, 3)), x.square().sum(dim=(0, 2, 3))])
        number, total, squares = AddUp.apply(moments)[:, :, None, None]  # type: ignore[no-untyped-call]
        mean = total / number
        variance = squares / number - mean.square()
        scaled = (x - mean) / (variance + self.eps).sqrt() * self.weight[:, None, None]
        return scaled + self.bias[:, None, None]
