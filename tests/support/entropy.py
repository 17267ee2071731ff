"""The plain torch that tests of entropy minimisation compare with, and what must hold for all of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch

from dusa_ignite.models import Classifier
from support import method_runs as toys
from support.toys import CLASSES, assert_identical

LOG_CLASSES = math.log(CLASSES)
LR = 0.002  # these classifiers learn fast


def unit_images(step: tuple[str, int, int]) -> torch.Tensor:
    """A batch's images in [0, 1]."""
    return toys.make_batch(*step)["images"].double() / 255


def plain_entropy(logits: torch.Tensor) -> torch.Tensor:
    """(B,) entropies, from probabilities."""
    p = logits.softmax(1)
    return -(p * p.log()).sum(1)


class PlainSgd:
    """SGD with momentum 0.9 and weight decay 0.01, as :class:`dusa_ignite.testing.Run` has it."""

    def __init__(self, classifier: Classifier) -> None:
        self.parameters = [p for p in classifier.parameters() if p.requires_grad]
        self.velocity: list[torch.Tensor | None] = [None] * len(self.parameters)

    def gradients(self, loss: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(loss, self.parameters))

    @torch.no_grad()
    def step(self, gradients: list[torch.Tensor]) -> None:
        for i, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            g = g + 0.01 * p
            before = self.velocity[i]
            self.velocity[i] = g if before is None else 0.9 * before + g
            p -= LR * self.velocity[i]


def check_nothing_reliable(make: Callable[..., toys.Run], **options: Any) -> None:
    """A batch that teaches nothing moves nothing: no NaN, no momentum, no weight decay, no state of the method."""
    run = make().meet(toys.CONTINUAL[:1])
    assert run.log[0]["diagnostics"]["reliable"] > 0
    blind = make(**options)
    for name, thing in blind.stateful.items():
        thing.load_state_dict(copy.deepcopy(run.state()[name]))
    before = blind.state()
    output = blind.meet(toys.CONTINUAL[1:2]).log[0]
    assert output["y_pred"].isfinite().all()
    assert math.isnan(output["loss"])
    assert output["diagnostics"]["reliable"] == 0
    assert output["diagnostics"]["skipped_update"] == 0
    assert all(p.grad is None for p in blind.classifier.parameters())
    assert_identical(blind.state(), before)
    assert before["optimizer"]["state"]
