"""How noise levels are drawn: functions of a sample's own generator, t in [0, 1] with t = 0 at the data."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

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


TIMES: dict[str, Callable[..., TimeSampler]] = {"fixed": fixed, "uniform": uniform, "logit_normal": logit_normal}
