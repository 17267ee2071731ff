"""A second classifier beside the one that learns: its moving average, or what it was at the source."""

from __future__ import annotations

import copy
from typing import Any

import torch

from dusa_ignite.methods.step import named_trainable
from dusa_ignite.models.classifier import Classifier


def frozen_copy(classifier: Classifier) -> Classifier:
    """The classifier as it is now, which does not learn."""
    return copy.deepcopy(classifier).requires_grad_(False)


def source_values(classifier: Classifier) -> dict[str, torch.Tensor]:
    """A copy of the parameters that learn, as they are now, by name."""
    return {name: parameter.detach().clone() for name, parameter in named_trainable(classifier).items()}


class Teacher:
    """The moving average of a classifier's parameters.

    Args:
        classifier: the student, as it starts; parameters that do not learn are left as they are.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = frozen_copy(classifier)
        self.averaged = list(named_trainable(classifier))

    @torch.no_grad()
    def average(self, student: Classifier, *, decay: float) -> None:
        """teacher <- decay * teacher + (1 - decay) * student; exact where both are equal."""
        own, others = dict(self.classifier.named_parameters()), dict(student.named_parameters())
        for name in self.averaged:
            own[name].lerp_(others[name], 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """The averaged parameters and all buffers, by name."""
        state = self.classifier.state_dict()
        fixed = {name for name, _ in self.classifier.named_parameters()} - set(self.averaged)
        return {name: value for name, value in state.items() if name not in fixed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy them.

        Raises:
            ValueError: names are missing or unexpected.
        """
        own = self.state_dict()
        if state.keys() != own.keys():
            missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise ValueError(f"not this teacher's state: missing {missing[:3]}, unexpected {unexpected[:3]}")
        self.classifier.load_state_dict(state, strict=False)  # without the parameters that never change
