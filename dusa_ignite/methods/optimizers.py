"""How parameters are updated: torch's optimizers as sections of the config."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field

from dusa_ignite.utils.section import Section, as_tuple

Moment = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Moment, Moment], BeforeValidator(as_tuple)]
Groups = list[dict[str, Any]]


class OptimizerOptions(Section):
    """What all optimizers share."""

    name: str  # declared here to stand first
    lr: float = Field(default=1e-5, ge=0, description="the classifier's learning rate, >= 0")
    transformer_lr: float | None = Field(default=None, ge=0, description="the transformer's, >= 0; null = lr")
    weight_decay: float = Field(default=0.0, ge=0, description=">= 0")

    @property
    def moments(self) -> int:
        """Numbers kept per parameter."""
        return 2

    def build(self, groups: Groups, *, sharded: bool) -> torch.optim.Optimizer:
        """The optimizer over groups that have their learning rates; ``sharded`` if some are spread over processes."""
        raise NotImplementedError


class Adam(OptimizerOptions):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"] = "adam"
    betas: Betas = Field(default=(0.9, 0.999), description="decay of the two moments, each in [0, 1)")

    def build(self, groups: Groups, *, sharded: bool) -> torch.optim.Optimizer:
        """torch's Adam."""
        return torch.optim.Adam(groups, fused=True, betas=self.betas, weight_decay=self.weight_decay)


class AdamW(OptimizerOptions):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    betas: Betas = Field(default=(0.9, 0.999), description="decay of the two moments, each in [0, 1)")

    def build(self, groups: Groups, *, sharded: bool) -> torch.optim.Optimizer:
        """torch's AdamW."""
        return torch.optim.AdamW(groups, fused=True, betas=self.betas, weight_decay=self.weight_decay)


class Sgd(OptimizerOptions):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1, description="in [0, 1)")

    @property
    def moments(self) -> int:
        """The momentum, if any."""
        return 1 if self.momentum else 0

    def build(self, groups: Groups, *, sharded: bool) -> torch.optim.Optimizer:
        """torch's SGD, which has no fused form for shards."""
        return torch.optim.SGD(groups, fused=not sharded, momentum=self.momentum, weight_decay=self.weight_decay)


OPTIMIZERS: tuple[type[OptimizerOptions], ...] = (
    Adam,
    AdamW,
    Sgd,
)
