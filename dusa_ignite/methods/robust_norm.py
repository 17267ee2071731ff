"""RoTTA's robust BatchNorm: moving statistics that start at the source's (Yuan et al., CVPR 2023, arXiv 2303.13899)."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class RobustNorm:
    """Within this context BatchNorm layers normalise with (1 - alpha) * stored + alpha * batch statistics.

    The gradient passes through the batch's part. The layers themselves stay what they are: their input is moved and
    scaled so that their stored statistics have that effect, which holds for any subclass. :meth:`commit` stores the
    mixed statistics.

    Args:
        model: its BatchNorm layers in eval mode; without such layers nothing happens.
        alpha: in [0, 1].

    Example:
        >>> with RobustNorm(model, alpha=0.05) as norms:
        ...     logits = model(images)  # the whole batch at once
        >>> norms.commit()
    """

    def __init__(self, model: nn.Module, *, alpha: float) -> None:
        self.layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self.alpha = alpha
        self.handles: list[Any] = []
        self.mixed: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}

    def __enter__(self) -> RobustNorm:
        self.handles = [layer.register_forward_pre_hook(self._mix) for layer in self.layers]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self.handles:
            handle.remove()

    @torch.no_grad()
    def commit(self) -> None:
        """Store the statistics of the last pass in the layers."""
        for layer, (mean, variance) in self.mixed.items():
            layer.running_mean.copy_(mean)  # type: ignore[operator]
            layer.running_var.copy_(variance)  # type: ignore[operator]

    def _mix(self, layer: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (x,) = inputs
        variance, mean = torch.var_mean(x, dim=[0, *range(2, x.ndim)], correction=0)
        mean = layer.running_mean.lerp(mean, self.alpha)
        variance = layer.running_var.lerp(variance, self.alpha)
        self.mixed[layer] = mean.detach(), variance.detach()
        shape = [1, -1, *[1] * (x.ndim - 2)]
        scale = ((layer.running_var + layer.eps) / (variance + layer.eps)).sqrt()
        return ((x - mean.view(shape)) * scale.view(shape) + layer.running_mean.view(shape),)
