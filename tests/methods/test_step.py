"""The optimizer's step that is taken only where everything is finite, and which parameters it moves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dusa_ignite.methods.step import all_finite, finite_step, named_trainable, trainable_parameters


def make(gradients: list[float | None]) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    parameters = [nn.Parameter(torch.ones(1)) for _ in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor([gradient])
    return parameters, torch.optim.SGD(parameters, lr=0.5)


def test_parameters_of_all_groups() -> None:
    a, b, c = (nn.Parameter(torch.ones(1)) for _ in range(3))
    assert trainable_parameters(torch.optim.SGD([{"params": [a, b]}, {"params": [c]}], lr=1.0)) == [a, b, c]


def test_trainable_parameters_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, bias=False))
    model[0].weight.requires_grad_(False)
    named = named_trainable(model)
    assert list(named) == ["0.bias", "1.weight"]
    assert named["0.bias"] is model[0].bias


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


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_element_among_many(bad: float) -> None:
    good = [torch.randn(100), torch.empty(0), torch.full((2, 3), 1e38), torch.randn(5, dtype=torch.float64)]
    assert all_finite(good)
    assert all_finite([])
    for where in (0, 2, 3):
        tensors = [tensor.clone() for tensor in good]
        tensors[where].view(-1)[3] = bad
        assert not all_finite(tensors)


def test_a_scaler_has_looked_at_the_gradients_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("dusa_ignite.methods.step.all_finite")
    parameters, optimizer = make([8.0, math.inf])
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    assert not finite_step(optimizer, parameters, 1.0, scaler)
    assert scaler.get_scale() == 2
    parameters[0].grad, parameters[1].grad = torch.tensor([2.0]), torch.tensor([2.0])
    assert finite_step(optimizer, parameters, 1.0, scaler)
    assert [parameter.item() for parameter in parameters] == [0.5, 0.5]
