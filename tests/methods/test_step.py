"""Chunks of a batch, and the optimizer's step that is taken only where everything is finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dusa_ignite.methods.step import chunks, finite_step, trainable_parameters


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (8, 3, [(0, 3), (3, 6), (6, 8)]),
        (8, 8, [(0, 8)]),
        (8, 100, [(0, 8)]),
        (3, 1, [(0, 1), (1, 2), (2, 3)]),
        (0, 4, []),
        (0, 0, []),  # all of an empty batch
    ],
)
def test_chunks_cover_the_batch(count: int, size: int, expected: list[tuple[int, int]]) -> None:
    assert [(part.start, part.stop) for part in chunks(count, size)] == expected


def make(gradients: list[float | None]) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    parameters = [nn.Parameter(torch.ones(1)) for _ in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor([gradient])
    return parameters, torch.optim.SGD(parameters, lr=0.5)


def test_parameters_of_all_groups() -> None:
    a, b, c = (nn.Parameter(torch.ones(1)) for _ in range(3))
    assert trainable_parameters(torch.optim.SGD([{"params": [a, b]}, {"params": [c]}], lr=1.0)) == [a, b, c]


def test_finite_step_is_taken_and_drops_the_gradients() -> None:
    parameters, optimizer = make([2.0, None, -1.0])
    assert finite_step(optimizer, parameters, loss=1.0)
    assert [parameter.item() for parameter in parameters] == [0, 1, 1.5]
    assert [parameter.grad for parameter in parameters] == [None] * 3


@pytest.mark.parametrize(
    ("gradients", "loss"),
    [
        ([1.0, math.inf], 1.0),
        ([-math.inf, 1.0], 1.0),
        ([math.nan, 1.0], 1.0),
        ([1.0, 1.0], math.nan),
        ([1.0, 1.0], math.inf),
    ],
)
@pytest.mark.parametrize("enabled", [False, True])
def test_anything_not_finite_skips_the_step(gradients: list[float | None], loss: float, enabled: bool) -> None:
    parameters, optimizer = make(gradients)
    scaler = torch.amp.GradScaler("cpu", enabled=enabled, init_scale=4.0)
    scaler.scale(torch.ones(1))
    assert not finite_step(optimizer, parameters, loss, scaler)
    assert [parameter.item() for parameter in parameters] == [1, 1]
    assert [parameter.grad for parameter in parameters] == [None] * 2
    if enabled:
        assert scaler.get_scale() == (4 if math.isfinite(sum(g for g in gradients if g)) else 2)


def test_scaled_gradients_are_unscaled() -> None:
    parameters, optimizer = make([8.0])
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    scaler.scale(torch.ones(1))
    assert finite_step(optimizer, parameters, 1.0, scaler)
    assert parameters[0].item() == 1 - 0.5 * 8 / 4
    assert scaler.get_scale() == 8
