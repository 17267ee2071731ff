"""The loss and the gradients of a variant's first update, compared with those of another one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from dusa_ignite.distributed.collectives import global_sum, local
from dusa_ignite.runs.bench.models import Built


@dataclass(frozen=True)
class FirstUpdate:
    """What the first update on the batch was made of.

    Attributes:
        loss: mean over the batch.
        gradients: in host memory, of each model's trained parameters in their order; ``None`` where none arrived.
    """

    loss: float
    gradients: Mapping[str, Sequence[torch.Tensor | None]]


def first_update(built: Built) -> FirstUpdate:
    """Make it, and keep what arrived at the optimizer: nothing, where the method does not take its step."""
    models = {"classifier": built.classifier, "transformer": built.guide and built.guide.transformer}
    learning = {name: [p for p in model.parameters() if p.requires_grad] for name, model in models.items() if model}
    kept: dict[str, list[torch.Tensor | None]] = {}

    def keep(*_: object) -> None:
        for name, parameters in learning.items():
            kept[name] = [None if p.grad is None else local(p.grad).detach().to("cpu", copy=True) for p in parameters]

    hook = built.optimizer.register_step_pre_hook(keep) if built.optimizer else None
    try:
        output = built.method(None, built.batch)
    finally:
        if hook is not None:
            hook.remove()
    return FirstUpdate(output["loss"], kept)


def loss_difference(own: FirstUpdate, other: FirstUpdate) -> float:
    """|a - b| / |b|, b the other's loss."""
    if own.loss == other.loss or (math.isnan(own.loss) and math.isnan(other.loss)):
        return 0.0
    return abs(own.loss - other.loss) / abs(other.loss) if other.loss else math.inf


def gradient_differences(own: FirstUpdate, other: FirstUpdate) -> dict[str, float]:
    """||a - b|| / ||b|| by model, over all its parameters together, b the other's; where both have gradients.

    All processes take part: what is spread over them counts as a whole.
    """
    both = own.gradients.keys() & other.gradients.keys()
    found = {}
    for name in sorted(both):
        pairs = [
            pair
            for a, b in zip(own.gradients[name], other.gradients[name], strict=True)
            if (pair := _both(a, b)) is not None
        ]
        if pairs:
            apart, size = _norm(a - b for a, b in pairs), _norm(b for _, b in pairs)
            found[name] = apart / size if size else (math.inf if apart else 0.0)
    return found


def _both(a: torch.Tensor | None, b: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Both gradients of a parameter, zeros for one that did not arrive; ``None`` where neither did."""
    if a is None:
        return None if b is None else (torch.zeros_like(b), b)
    return a, torch.zeros_like(a) if b is None else b


def _norm(tensors: Iterable[torch.Tensor]) -> float:
    return math.sqrt(global_sum(sum(float(tensor.norm(dtype=torch.float64)) ** 2 for tensor in tensors)))
