"""DUSA's objective by hand: distances, the weighted sum, and where the gradient goes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from dusa_ignite.methods.losses import Loss, dusa_loss, image_losses

PREDICTION = torch.tensor([[1.0, 2.0], [0.0, 3.0]], dtype=torch.float64)
TARGET = torch.tensor([[1.0, 0.0], [4.0, 3.0]], dtype=torch.float64)  # squared errors 2 and 8; cosines 1/sqrt(5), 3/5
MSE: dict[str, Any] = Loss().model_dump()
NORM: dict[str, Any] = {"distance": "norm_l2", "cosine_weight": 0.0}


def test_image_losses() -> None:
    assert image_losses(PREDICTION, TARGET, **MSE).tolist() == [2, 8]
    norm = image_losses(PREDICTION, TARGET, **NORM, p=0.5, c=1e-3)
    assert norm.tolist() == pytest.approx([2 / 2.001**0.5, 8 / 8.001**0.5], abs=1e-15)
    assert image_losses(PREDICTION, TARGET, **NORM, p=1.0, c=2.0).tolist() == pytest.approx([0.5, 0.8])
    cosine = image_losses(PREDICTION, TARGET, **{**MSE, "cosine_weight": 0.5})
    assert cosine.tolist() == pytest.approx([2 + 0.5 * (1 - 1 / 5**0.5), 8 + 0.5 * 0.4], abs=1e-15)


def test_the_denominator_of_norm_l2_is_a_constant() -> None:
    prediction = PREDICTION.clone().requires_grad_()
    image_losses(prediction, TARGET, **NORM, p=0.5, c=1.0).sum().backward()
    assert prediction.grad is not None  # d mse = error (two elements), over (e + c)^p
    assert prediction.grad.flatten().tolist() == pytest.approx([0, 2 / 3**0.5, -4 / 3, 0], abs=1e-15)


def test_unknown_distance() -> None:
    with pytest.raises(ValueError, match=r"distance must be one of .* not 'l1'"):
        image_losses(PREDICTION, TARGET, **{**MSE, "distance": "l1"})


def test_loss_by_hand() -> None:
    logits = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    candidates = torch.tensor([[1, 0], [0, 1]])
    predictions = torch.tensor([[[1.0], [2.0]], [[0.0], [1.0]]], dtype=torch.float64)
    target = torch.tensor([[0.5], [0.5]], dtype=torch.float64)
    first = 1 / (1 + math.exp(-0.2))  # normalised logits 0.8 and 0.6
    second = 1 / (1 + math.exp(-1.0))
    expected = ((first + 2 * (1 - first) - 0.5) ** 2 + (1 - second - 0.5) ** 2) / 2
    assert dusa_loss(logits, candidates, predictions, target, normalise_logits=True, **MSE).item() == pytest.approx(
        expected, abs=1e-15
    )
    first = 1 / (1 + math.exp(-1.0))  # raw logits 4 and 3
    expected = ((first + 2 * (1 - first) - 0.5) ** 2 + (1 - second - 0.5) ** 2) / 2
    raw = dusa_loss(logits, candidates, predictions, target, normalise_logits=False, **MSE)
    assert raw.item() == pytest.approx(expected, abs=1e-15)


def test_gradient_reaches_logits_and_predictions() -> None:
    logits = torch.tensor([[3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    predictions = torch.tensor([[[1.0], [2.0]]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0.5]], dtype=torch.float64)
    dusa_loss(logits, torch.tensor([[1, 0]]), predictions, target, normalise_logits=False, **MSE).backward()
    w = 1 / (1 + math.exp(-1.0))
    error = 2 * (w + 2 * (1 - w) - 0.5)
    assert predictions.grad is not None
    assert logits.grad is not None
    assert predictions.grad.flatten().tolist() == pytest.approx([error * w, error * (1 - w)], abs=1e-15)
    slope = error * w * (1 - w) * (1 - 2)  # of the weight of class 1 against class 0
    assert logits.grad.flatten().tolist() == pytest.approx([-slope, slope], abs=1e-15)
