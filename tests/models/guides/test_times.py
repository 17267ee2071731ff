"""Noise levels drawn from a sample's own generator."""

from __future__ import annotations

import math

import pytest
import torch

from dusa_ignite.models.guides.times import TIMES, TimeSampler, fixed, logit_normal, uniform


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fixed_draws_nothing() -> None:
    own = generator()
    state = own.get_state()
    assert fixed(t=0.25)(own) == 0.25
    assert torch.equal(own.get_state(), state)


def test_uniform_is_the_generators_draw_scaled() -> None:
    u = torch.rand((), generator=generator()).item()
    assert uniform(t_min=0.2, t_max=0.6)(generator()) == pytest.approx(0.2 + 0.4 * u, abs=1e-15)


def test_uniform_range_and_mean() -> None:
    own, time = generator(), uniform(t_min=0.2, t_max=0.6)
    draws = [time(own) for _ in range(10_000)]
    assert 0.2 <= min(draws) < 0.201
    assert 0.599 < max(draws) <= 0.6
    assert sum(draws) / len(draws) == pytest.approx(0.4, abs=0.005)  # its standard deviation is 0.0012
    assert uniform(t_min=0.5, t_max=0.5)(own) == 0.5


def test_logit_normal_is_the_sigmoid_of_the_generators_draw() -> None:
    u = -0.5 + 2 * torch.randn((), generator=generator()).item()
    assert logit_normal(mean=-0.5, std=2.0)(generator()) == pytest.approx(1 / (1 + math.exp(-u)), abs=1e-15)
    assert logit_normal(mean=math.log(3), std=0.0)(generator()) == pytest.approx(0.75, abs=1e-15)


def test_logit_normal_reaches_both_ends() -> None:
    assert logit_normal(mean=-1e4, std=1.0)(generator()) == 0
    assert logit_normal(mean=1e4, std=1.0)(generator()) == 1


@pytest.mark.parametrize("time", [uniform(t_min=0.0, t_max=1.0), logit_normal(mean=0.0, std=1.0)])
def test_draws_are_a_function_of_the_generator(time: TimeSampler) -> None:
    torch.manual_seed(0)
    first = time(generator())
    torch.manual_seed(1)
    assert time(generator()) == first
    assert time(generator(4)) != first


def test_names() -> None:
    generator = torch.Generator()
    options = {"fixed": {"t": 0.3}, "uniform": {"t_min": 0.1, "t_max": 0.2}, "logit_normal": {"mean": 1.0, "std": 2.0}}
    samplers = {"fixed": fixed, "uniform": uniform, "logit_normal": logit_normal}
    assert [kind.model_fields["name"].default for kind in TIMES] == list(options)
    for kind, (name, values) in zip(TIMES, options.items(), strict=True):
        drawn = kind(**values).sampler()(generator.manual_seed(1))
        assert drawn == samplers[name](**values)(generator.manual_seed(1))
