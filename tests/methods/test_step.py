"""Batches in pieces, gradients of any loss, and the optimizer's step that is taken only where everything is finite."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from dusa_ignite.methods.step import (
    Pass,
    all_finite,
    backpropagate,
    finite_step,
    predict,
    slices,
    trainable_parameters,
)


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
    assert [(part.start, part.stop) for part in slices(count, size)] == expected


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


class Spy(nn.Module):
    """A linear classifier of 2 x 2 images that notes how many images it is given at a time."""

    num_classes = 4

    def __init__(self, *, uses_batch_statistics: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 4).double()
        self.uses_batch_statistics = uses_batch_statistics
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
        self.seen.append(len(images))
        images = torch.stack(images) if isinstance(images, list) else images
        return self.linear(images.flatten(1))


IMAGES = torch.rand(5, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("uses_batch_statistics", "count", "pieces"),
    [(False, 5, [2, 2, 1]), (False, 2, [2]), (False, 0, []), (True, 5, [5]), (True, 0, [0])],
)
def test_a_batch_goes_in_micro_batches_or_in_one_piece(
    uses_batch_statistics: bool, count: int, pieces: list[int]
) -> None:
    classifier: Any = Spy(uses_batch_statistics=uses_batch_statistics)
    logits = predict(classifier, IMAGES[:count], micro_batch_size=2)
    assert classifier.seen == pieces
    assert not logits.requires_grad
    torch.testing.assert_close(logits, classifier(IMAGES[:count]).detach())


def test_other_parameters_predict() -> None:
    classifier: Any = Spy()
    logits = predict(classifier, IMAGES, micro_batch_size=2, parameters={"linear.weight": torch.zeros(4, 12).double()})
    torch.testing.assert_close(logits, classifier.linear.bias.detach().expand(5, 4), rtol=0, atol=0)
    assert classifier.linear.weight.abs().min() > 0


@pytest.mark.parametrize("uses_batch_statistics", [False, True])
@pytest.mark.parametrize("size", [1, 2, 8])
@pytest.mark.parametrize("count", [0, 5])
def test_the_gradient_of_any_loss(count: int, size: int, uses_batch_statistics: bool) -> None:
    classifier: Any = Spy(uses_batch_statistics=uses_batch_statistics)
    images, weights = IMAGES[:count], torch.arange(count).double()
    logits = classifier(images)
    loss = (logits.log_softmax(1)[:, 0] * weights).sum() + logits.sum() ** 2
    expected = torch.autograd.grad(loss, list(classifier.parameters()))

    ours, value = backpropagate(
        classifier,
        images,
        lambda logits: (logits.log_softmax(1)[:, 0] * weights).sum() + logits.sum() ** 2,
        micro_batch_size=size,
    )
    torch.testing.assert_close(ours, logits.detach())
    torch.testing.assert_close(value, loss.detach())
    for parameter, gradient in zip(classifier.parameters(), expected, strict=True):
        torch.testing.assert_close(torch.zeros_like(gradient) if parameter.grad is None else parameter.grad, gradient)


def test_a_loss_without_a_gradient_leaves_none() -> None:
    classifier: Any = Spy()
    _, value = backpropagate(classifier, IMAGES, lambda logits: logits.new_zeros(()), micro_batch_size=2)
    assert value == 0
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.parametrize("size", [2, 8])
def test_a_gradient_can_wait_for_another_pass(size: int) -> None:
    classifier: Any = Spy()
    one = Pass(classifier, IMAGES, micro_batch_size=size)
    other = Pass(classifier, IMAGES.flip(0), micro_batch_size=size)
    (one.logits * other.logits.softmax(1)).sum().backward()
    one.backward()
    other.backward()
    loss = (classifier(IMAGES) * classifier(IMAGES.flip(0)).softmax(1)).sum()
    expected = torch.autograd.grad(loss, list(classifier.parameters()))
    for parameter, gradient in zip(classifier.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


WEIGHTS = torch.tensor([0.0, 1.0, 0.0, 2.0, math.nan], dtype=torch.float64)


@pytest.mark.parametrize(
    ("weights", "seen"),
    [
        (WEIGHTS, [2, 2, 1, 2, 1]),  # images 1, 3 and 4
        (WEIGHTS[[1, 2, 0, 0, 0]], [2, 2, 1, 1]),
        (WEIGHTS[[0, 0, 0, 0, 0]], [2, 2, 1, 1]),  # one, so that the gradient is 0 and not missing
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_images_without_a_gradient_go_through_once(weights: torch.Tensor, seen: list[int], as_list: bool) -> None:
    classifier: Any = Spy()
    images: Any = list(IMAGES) if as_list else IMAGES
    backpropagate(classifier, images, lambda logits: (logits.sum(1) * weights).sum(), micro_batch_size=2)
    assert classifier.seen == seen
    gradient = (weights[:, None] * IMAGES.flatten(1)).sum(0)
    torch.testing.assert_close(classifier.linear.weight.grad, gradient.expand(4, 12), equal_nan=True)


def test_images_that_depend_on_each_other_stay_together() -> None:
    classifier: Any = Spy(uses_batch_statistics=True)
    backpropagate(classifier, IMAGES, lambda logits: logits[1].sum(), micro_batch_size=2)
    assert classifier.seen == [5]


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
