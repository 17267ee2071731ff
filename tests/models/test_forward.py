"""Images through a classifier in micro-batches: their logits, and the gradient of any loss."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from dusa_ignite.models.forward import DeferredBackward, backpropagate, predict, slices


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
def test_slices_cover_the_batch(count: int, size: int, expected: list[tuple[int, int]]) -> None:
    assert [(part.start, part.stop) for part in slices(count, size)] == expected


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

    def no_logits(self) -> torch.Tensor:
        return self.linear.weight.new_empty(0, self.num_classes)


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
    one = DeferredBackward(classifier, IMAGES, micro_batch_size=size)
    other = DeferredBackward(classifier, IMAGES.flip(0), micro_batch_size=size)
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
