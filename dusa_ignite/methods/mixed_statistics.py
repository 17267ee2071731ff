"""BatchNorm that normalises with a mixture of the source's statistics and those of the global batch."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import ignite.distributed as idist
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.errors import DataError


def batch_norm_layers(model: nn.Module) -> list[_BatchNorm]:
    """All BatchNorm layers that have source statistics; timm's BatchNormAct2d is a subclass."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


class MixedStatistics:
    """Within this context BatchNorm layers normalise with a mixture of stored and (global) batch statistics.

    A layer's statistics are replaced during its own forward pass only, so nothing is left behind, whatever happens. No
    gradient passes through them.

    Args:
        model: its BatchNorm layers in eval mode.
        alpha: the batch's weight, in [0, 1].
        over_processes: whether the batch is that of all processes, which must then make the same passes.

    Example:
        >>> with MixedStatistics(model, alpha=0.5):
        ...     logits = model(images)
    """

    def __init__(self, model: nn.Module, *, alpha: float, over_processes: bool = True) -> None:
        self.layers = batch_norm_layers(model)
        self.alpha = alpha
        self.over_processes = over_processes and idist.get_world_size() > 1
        self.stored: dict[nn.Module, tuple[Any, Any]] = {}
        self.handles: list[Any] = []

    def __enter__(self) -> MixedStatistics:
        self.handles = [
            handle
            for layer in self.layers
            for handle in (
                layer.register_forward_pre_hook(self._replace),
                layer.register_forward_hook(self._put_back, always_call=True),
            )
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self.handles:
            handle.remove()

    def _replace(self, layer: Any, inputs: tuple[torch.Tensor]) -> None:
        (x,) = inputs
        if self.alpha == 1 and x.shape[2:].numel() == 1 and self._number_of_images(x) == 1:
            raise DataError(
                "a batch of one image has no statistics for BatchNorm, where the feature map has shrunk to one pixel; "
                "choose data.batch_size so that no batch has one image, or set method.alpha below 1"
            )
        mean, variance = (global_statistics if self.over_processes else own_statistics)(x.detach())
        self.stored[layer] = layer.running_mean, layer.running_var
        layer.running_mean = layer.running_mean.lerp(mean.to(layer.running_mean), self.alpha)
        layer.running_var = layer.running_var.lerp(variance.to(layer.running_var), self.alpha)

    def _number_of_images(self, x: torch.Tensor) -> float:
        return global_sum(len(x)) if self.over_processes else len(x)

    def _put_back(self, layer: Any, inputs: Any, output: Any) -> None:
        if layer in self.stored:
            layer.running_mean, layer.running_var = self.stored.pop(layer)


def own_statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every channel's mean and (biased) variance (D,) of x (B, D, ...); NaN without an image."""
    if not x.numel():
        nothing = x.new_full((x.shape[1],), torch.nan)
        return nothing, nothing
    variance, mean = torch.var_mean(x, dim=[0, *range(2, x.ndim)], correction=0)
    return mean, variance


def global_statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`own_statistics` over all processes, of which some may have no image; they stay on the device."""
    count = x.numel() // x.shape[1]
    mean, variance = own_statistics(x)
    if idist.get_world_size() == 1:
        return mean, variance
    moments = torch.zeros(3, x.shape[1], dtype=torch.float64, device=x.device)
    if count:
        mean, variance = mean.double(), variance.double()
        moments = count * torch.stack([torch.ones_like(mean), mean, variance + mean.square()])
    dist.all_reduce(moments)
    number, total, squares = moments
    mean = total / number
    return mean, (squares / number - mean.square()).clamp(min=0)
