"""Noising paths by hand: x0 = 2 and z = -1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dusa_ignite.models.guides.families import DIT, REPA
from dusa_ignite.models.guides.paths import alphas_cumprod, scheduled

PATHS = {**REPA.paths, **DIT.paths, "scheduled": scheduled(torch.tensor([0.81, 0.64, 0.36, 0.04], dtype=torch.float64))}

X0, Z = 2.0, -1.0


def at(name: str, *times: float) -> tuple[list[float], list[float], list[float]]:
    """x_t, target and model time of the scalar case, in float64."""
    shape = (len(times), 1, 1, 1)
    x0, z = torch.full(shape, X0, dtype=torch.float64), torch.full(shape, Z, dtype=torch.float64)
    x_t, target, model_time = PATHS[name](x0, z, torch.tensor(times, dtype=torch.float64))
    assert x_t.shape == target.shape == shape
    assert model_time.shape == (len(times),)
    return x_t.flatten().tolist(), target.flatten().tolist(), model_time.tolist()


def test_linear() -> None:
    x_t, target, model_time = at("linear", 0, 0.25, 1)
    assert x_t == [2, 0.75 * 2 - 0.25, -1]
    assert target == [-3, -3, -3]
    assert model_time == [0, 0.25, 1]


def test_reverse_linear_runs_from_noise_to_data() -> None:
    x_t, target, model_time = at("reverse_linear", 0, 0.25, 1)
    assert x_t == [2, 1.25, -1]
    assert target == [3, 3, 3]
    assert model_time == [1, 0.75, 0]  # the official SiT's own time: x_t = t x0 + (1 - t) z


def test_cosine() -> None:
    x_t, target, model_time = at("cosine", 0, 0.25, 1)
    assert x_t == pytest.approx([2, 2 * math.cos(math.pi / 8) - math.sin(math.pi / 8), -1], abs=1e-15)
    quarter = math.pi / 2 * (-math.cos(math.pi / 8) - 2 * math.sin(math.pi / 8))
    assert target == pytest.approx([-math.pi / 2, quarter, -math.pi], abs=1e-15)
    assert quarter == pytest.approx(-2.653462, abs=1e-6)
    assert model_time == [0, 0.25, 1]


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_velocity_is_the_derivative_by_the_model_time(name: str) -> None:
    h = 1e-5
    for t in (0.1, 0.25, 0.5, 0.9):
        x_t, _, _ = at(name, t - h, t + h)
        assert at(name, t)[1][0] == pytest.approx((x_t[1] - x_t[0]) / (2 * h), abs=1e-8)


def test_velocity_of_the_reverse_path_is_the_derivative_by_its_own_time() -> None:
    h = 1e-5
    x_t, _, model_time = at("reverse_linear", 0.25 - h, 0.25 + h)
    assert (x_t[1] - x_t[0]) / (model_time[1] - model_time[0]) == pytest.approx(3, abs=1e-8)


def test_ddpm_steps() -> None:
    kept = np.exp(np.cumsum(np.log1p(-np.linspace(1e-4, 0.02, 1000))))  # product of 1 - beta
    x_t, target, model_time = at("ddpm", 0, 0.1, 0.25, 1)
    assert model_time == [0, 100, 250, 999]
    steps = [0, 100, 250, 999]
    assert x_t == pytest.approx([2 * math.sqrt(kept[s]) - math.sqrt(1 - kept[s]) for s in steps], abs=1e-13)
    assert target == [-1] * 4
    assert kept[0] == pytest.approx(0.9999, abs=1e-15)
    assert kept[100] == pytest.approx(0.8951416, abs=1e-7)
    assert kept[999] == pytest.approx(4.0358e-5, rel=1e-4)


def test_the_table_of_ddpm_is_brought_to_a_device_once() -> None:
    assert alphas_cumprod(torch.device("cpu")) is alphas_cumprod(torch.device("cpu"))
    assert alphas_cumprod(torch.device("meta")) is alphas_cumprod(torch.device("meta"))
    assert alphas_cumprod(torch.device("meta")).device.type == "meta"


def test_another_schedule() -> None:
    x_t, target, model_time = at("scheduled", 0, 0.4, 0.5, 1)
    assert model_time == [0, 2, 2, 3]  # of four steps, 0.4 is nearest to the third
    assert x_t == pytest.approx([0.9 * 2 - 0.19**0.5, 0.6 * 2 - 0.8, 0.6 * 2 - 0.8, 0.2 * 2 - 0.96**0.5])
    assert target == [-1] * 4


def test_ddpm_rounds_to_the_nearest_step() -> None:
    assert at("ddpm", 0.0004, 0.0006, 0.2499, 0.2496, 0.9994, 0.9999)[2] == [0, 1, 250, 250, 999, 999]


@pytest.mark.parametrize("name", list(PATHS))
def test_each_image_has_its_own_time_and_x0_its_dtype(name: str) -> None:
    x0, z = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    t = torch.tensor([0.1, 0.7], dtype=torch.float64)
    x_t, target, model_time = PATHS[name](x0, z, t)
    assert x_t.dtype == target.dtype == torch.float32
    for i in range(2):
        alone = PATHS[name](x0[i : i + 1], z[i : i + 1], t[i : i + 1])
        for together, single in zip((x_t, target, model_time), alone, strict=True):
            assert torch.equal(together[i : i + 1], single)
