"""A method on toy models, batch after batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine
from torch import nn

from dusa_ignite.engine import Output
from dusa_ignite.methods import Method
from dusa_ignite.models import Classifier
from dusa_ignite.models.guides.times import uniform
from dusa_ignite.testing.toys import SEED, make_batch, toy_classifier, toy_guide

LR = 0.05
Batches = Sequence[tuple[str, int, int]]
"""Arguments of :func:`dusa_ignite.testing.toys.make_batch`: task, first image, images."""

CONTINUAL: Batches = [("fog", 0, 5), ("fog", 5, 3), ("snow", 0, 5), ("snow", 5, 1)]


class Run:
    """A method on toy models in float64, with all its state; ``log`` keeps every output.

    Methods with a guide get the toy guide and noise levels uniform in [0.2, 0.8]. Where the method trains anything, all
    that requires gradients learns, by SGD with momentum 0.9 and weight decay 0.01.

    Args:
        method: the class.
        options: of it; ``None`` = made from ``keywords``.
        classifier: ``None`` = :func:`dusa_ignite.testing.toys.toy_classifier`, which has no BatchNorm.
        lr: learning rate, >= 0.
        micro_batch_size: images in the graph at once, >= 1.
        predict_after: whether the predictions that count are made after the update.
        keywords: of ``method.Options``.

    Example:
        >>> run = Run(Tent, lr=0.01).meet([("fog", 0, 5), ("fog", 5, 3)])
        >>> run.log[0]["loss"], run.state()["classifier"]
    """

    def __init__(
        self,
        method: type[Method],
        options: Method.Options | None = None,
        *,
        classifier: Classifier | None = None,
        lr: float = LR,
        micro_batch_size: int = 2,
        predict_after: bool = False,
        **keywords: Any,
    ) -> None:
        self.classifier = (classifier or toy_classifier()).double()
        self.stateful: dict[str, Any] = {"classifier": self.classifier}
        parts: dict[str, Any] = {}
        models: list[nn.Module] = [self.classifier]
        if method.guided:
            guide = toy_guide().double()
            parts |= {"guide": guide, "time": uniform(t_min=0.2, t_max=0.8)}
            self.stateful["transformer"] = guide.transformer
            models.append(guide)
        if method.trains != "nothing":
            trainable = [p for model in models for p in model.parameters() if p.requires_grad]
            optimizer = torch.optim.SGD(trainable, lr=lr, momentum=0.9, weight_decay=0.01)
            self.stateful["optimizer"] = parts["optimizer"] = optimizer
        self.method = self.stateful["method"] = method(
            make_options(method, keywords) if options is None else options,
            classifier=self.classifier,
            seed=SEED,
            micro_batch_size=micro_batch_size,
            predict_after=predict_after,
            **parts,
        )
        self.engine = Engine(self.method)
        self.log: list[Output] = []

    def meet(self, batches: Batches) -> Run:
        """Update on one batch after the other."""
        for batch in batches:
            self.engine.state.iteration += 1
            self.log.append(self.method(self.engine, make_batch(*batch)))
        return self

    def state(self) -> dict[str, Any]:
        """A copy of everything stateful."""
        return {name: copy.deepcopy(thing.state_dict()) for name, thing in self.stateful.items()}


def make_options(method: type[Method], keywords: dict[str, Any]) -> Method.Options:
    """The method's options; a name, where they need one that nobody gave, is the class's."""
    named = method.Options.model_fields["name"].is_required()
    return method.Options(**({"name": method.__name__} if named else {}) | keywords)


def log_and_state(run: Run) -> dict[str, Any]:
    """What one process has to compare with another."""
    return {"log": run.log, "state": run.state()}
