"""Runs of any method on toy models, what must hold for all of them, and plain torch to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from dusa_ignite.testing.checks import (
    check_empty,
    check_micro_batches,
    check_not_finite,
    check_processes,
    check_reset,
    check_resume,
)
from dusa_ignite.testing.compare import assert_close
from dusa_ignite.testing.runs import CONTINUAL, LR, Run, log_and_state
from dusa_ignite.testing.toys import make_batch, toy_classifier

__all__ = [
    "CONTINUAL",
    "LR",
    "Run",
    "assert_close",
    "check_empty",
    "check_micro_batches",
    "check_not_finite",
    "check_processes",
    "check_reset",
    "check_resume",
    "check_without_learning",
    "log_and_state",
    "make_batch",
    "sgd_step",
]


def check_without_learning(make: Callable[..., Run]) -> None:
    """With learning rate 0 all predictions are exactly the source's."""
    run = make(lr=0.0).meet(CONTINUAL)
    source = toy_classifier().double()
    for batch, output in zip(CONTINUAL, run.log, strict=True):
        images = make_batch(*batch)["images"].double() / 255  # type: ignore[union-attr]
        expected = torch.cat([source(images[i : i + 2]) for i in range(0, len(images), 2)])
        assert torch.equal(output["y_pred"], expected)


def sgd_step(loss: torch.Tensor, models: Sequence[nn.Module], velocity: dict[str, torch.Tensor]) -> None:
    """What the optimizer of :class:`Run` does, in plain torch; ``velocity`` is kept from step to step."""
    named = {f"{i}.{n}": p for i, m in enumerate(models) for n, p in m.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()))
    with torch.no_grad():
        for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
            velocity[name] = 0.9 * velocity.get(name, 0) + gradient + 0.01 * parameter
            parameter -= LR * velocity[name]
