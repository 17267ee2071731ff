"""The sections about learning: the method, one class for each, the optimizer and the average of its results."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dusa_ignite.config.types import Betas, Number, Section


class Loss(Section):
    """How far the weighted prediction is from the path's target."""

    distance: Literal["mse", "norm_l2"] = Field(
        default="mse", description="e, or e / (e + c)^p detached; e = mean square"
    )
    p: Number = Field(default=0.5, ge=0, description="power of norm_l2, >= 0")
    c: Number = Field(default=1e-3, gt=0, description="offset of norm_l2, > 0")
    cosine_weight: Number = Field(default=0.0, ge=0, description="weight of 1 - cosine similarity, >= 0")


class Dusa(Section):
    """The guide teaches the classifier (arXiv 2501.00873)."""

    name: Literal["dusa"] = Field(default="dusa", description="the method")
    num_top: int = Field(default=4, ge=1, description="most likely classes asked about, >= 1")
    num_random: int = Field(default=2, ge=0, description="further classes drawn, >= 0")
    temperature: Number = Field(default=1.0, gt=0, description="of that draw, > 0; larger is more even")
    candidate_draw: Literal["multinomial", "uniform"] = Field(default="multinomial", description="how they are drawn")
    normalise_logits: bool = Field(default=True, description="take the weights over L2-normalised logits")
    loss: Loss = Field(default=Loss(), description="the objective")


class Source(Section):
    """No adaptation, in the same harness."""

    name: Literal["source"] = Field(description="the method")


class _Optimizer(Section):
    name: str  # declared here to stand first
    lr: Number = Field(default=1e-5, ge=0, description="the classifier's learning rate, >= 0")
    transformer_lr: Number | None = Field(default=None, ge=0, description="the transformer's, >= 0; null = lr")
    weight_decay: Number = Field(default=0.0, ge=0, description=">= 0")


class Adam(_Optimizer):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"] = Field(default="adam", description="the optimizer")
    betas: Betas = Field(default=(0.9, 0.999), description="decay of the two moments, each in [0, 1)")


class AdamW(_Optimizer):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = Field(description="the optimizer")
    betas: Betas = Field(default=(0.9, 0.999), description="decay of the two moments, each in [0, 1)")


class Sgd(_Optimizer):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = Field(description="the optimizer")
    momentum: Number = Field(default=0.9, ge=0, lt=1, description="in [0, 1)")


class NormEma(Section):
    """A moving average of the classifier's normalisation parameters."""

    decay: Number = Field(default=0.99, ge=0, lt=1, description="per update, in [0, 1)")
    evaluate: bool = Field(default=True, description="also measure the averaged classifier's accuracy")
