"""How noise levels are drawn: functions of a sample's own generator, t in [0, 1] with t = 0 at the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator

from dusa_ignite.utils.section import Section

TimeSampler = Callable[[torch.Generator], float]


def fixed(*, t: float) -> TimeSampler:
    """Always ``t``, in [0, 1]."""
    return lambda generator: t


def uniform(*, t_min: float, t_max: float) -> TimeSampler:
    """Uniform in [t_min, t_max], 0 <= t_min <= t_max <= 1."""
    return lambda generator: t_min + (t_max - t_min) * torch.rand((), generator=generator).item()


def logit_normal(*, mean: float, std: float) -> TimeSampler:
    """1 / (1 + exp(-u)), u normal with ``mean`` and ``std`` (Esser et al. 2024, section 3.1)."""
    return lambda generator: _sigmoid(mean + std * torch.randn((), generator=generator).item())


def _sigmoid(u: float) -> float:
    return (1 + math.tanh(u / 2)) / 2  # exp(-u) would overflow below -709


class TimeOptions(Section):
    """The config's section ``time``."""

    name: str

    def sampler(self) -> TimeSampler:
        """What draws the noise levels."""
        raise NotImplementedError


class FixedTime(TimeOptions):
    """The same noise level for every image."""

    name: Literal["fixed"] = "fixed"
    t: float = Field(default=0.25, ge=0, le=1, description="time, 0 (data) .. 1 (noise)")

    def sampler(self) -> TimeSampler:
        """See :func:`fixed`."""
        return fixed(t=self.t)


class UniformTime(TimeOptions):
    """Uniform over an interval."""

    name: Literal["uniform"] = "uniform"
    t_min: float = Field(default=0.0, ge=0, le=1, description="lowest time, 0 (data) .. 1 (noise)")
    t_max: float = Field(default=1.0, ge=0, le=1, description="highest time, t_min .. 1")

    @field_validator("t_max")
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("t_min", 0.0):
            raise ValueError(f"{value} is below t_min {info.data['t_min']}; allowed: a number >= t_min and <= 1")
        return value

    def sampler(self) -> TimeSampler:
        """See :func:`uniform`."""
        return uniform(t_min=self.t_min, t_max=self.t_max)


class LogitNormalTime(TimeOptions):
    """1 / (1 + exp(-u)) with normal u."""

    name: Literal["logit_normal"] = "logit_normal"
    mean: float = Field(default=0.0, description="of u, any number")
    std: float = Field(default=1.0, ge=0, description="standard deviation of u, >= 0")

    def sampler(self) -> TimeSampler:
        """See :func:`logit_normal`."""
        return logit_normal(mean=self.mean, std=self.std)


TIMES: tuple[type[TimeOptions], ...] = (FixedTime, UniformTime, LogitNormalTime)
