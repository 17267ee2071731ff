"""The choice of a window's classes, their weights, and the loss, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from dusa_ignite.segmentation.classes import class_weights, keep_classes, latent_logits
from dusa_ignite.segmentation.window_loss import window_loss

PLACES = [[9, 5, 1, 0, 0], [1, 9, 5, 0, 0], [0, 0, 5, 9, 1], [5, 0, 0, 1, 9]]  # classes named: 0 1, 1 2, 3 2, 4 0
SCORES = torch.tensor([0.1, 0.5, 0.9, 0.3, 0.4])


def places() -> torch.Tensor:
    return torch.tensor(PLACES, dtype=torch.float64).T.reshape(1, 5, 2, 2)


def test_all_are_kept_where_there_is_room() -> None:
    kept = keep_classes(places(), top_per_pixel=2, max_classes=5, scores=SCORES)
    assert kept.classes.tolist() == [0, 1, 2, 3, 4]
    assert kept.mask.tolist() == [[[[True, True], [True, True]]]]
    assert keep_classes(places(), top_per_pixel=99, max_classes=5, scores=SCORES).classes.tolist() == [0, 1, 2, 3, 4]


def test_the_likeliest_first_then_a_random_choice() -> None:
    z = places()[..., :1]  # 0 before 1, and 3 before 2
    kept = keep_classes(z, top_per_pixel=2, max_classes=3, scores=SCORES)
    assert kept.classes.tolist() == [0, 3, 2]  # of 1 and 2 the one with the larger score
    assert kept.mask.all()


def test_too_many_likeliest_leave_places_out() -> None:
    kept = keep_classes(places(), top_per_pixel=2, max_classes=2, scores=SCORES)
    assert kept.classes.tolist() == [1, 4]  # of 0, 1, 3, 4; class 2 is nowhere the likeliest
    assert kept.mask.tolist() == [[[[False, True], [False, True]]]]


@pytest.mark.parametrize(
    "wrong", [{"top_per_pixel": 0}, {"max_classes": 0}, {"scores": torch.zeros(4)}], ids=["top", "max", "scores"]
)
def test_wrong_numbers(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        keep_classes(places(), **{"top_per_pixel": 2, "max_classes": 2, "scores": SCORES, **wrong})


def test_logits_are_normalised_before_they_are_resized() -> None:
    logits = torch.tensor([[3.0, 0.0], [4.0, 2.0]], dtype=torch.float64).view(1, 2, 1, 2)
    z = latent_logits(logits, size=(1, 3))  # corners aligned: the middle is the mean of both ends
    assert z[0, :, 0].T.tolist() == [
        pytest.approx([0.6, 0.8]),
        pytest.approx([0.3, 0.9]),
        pytest.approx([0.0, 1.0]),
    ]
    raw = latent_logits(logits, size=(1, 3), normalise=False)
    assert raw[0, :, 0].T.tolist() == [[3, 4], [1.5, 3], [0, 2]]


def test_weights_are_a_softmax_among_the_kept() -> None:
    weights = class_weights(places(), torch.tensor([4, 1]))
    e = math.exp
    assert weights.shape == (1, 2, 2, 2)
    assert weights[0, :, 0, 0].tolist() == pytest.approx([e(0) / (e(0) + e(5)), e(5) / (e(0) + e(5))])


def test_the_loss_is_a_mean_over_all_places() -> None:
    weights = torch.tensor([[0.25, 0.5], [0.75, 0.5]], dtype=torch.float64).view(1, 2, 1, 2)
    predictions = torch.tensor([[1.0, 2.0], [5.0, 4.0]], dtype=torch.float64).view(2, 1, 1, 2)
    target = torch.tensor([3.0, 1.0], dtype=torch.float64).view(1, 1, 1, 2)
    everywhere = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    assert window_loss(weights, predictions, target, everywhere).item() == pytest.approx((1.0**2 + 2.0**2) / 2)
    only_first = torch.tensor([True, False]).view(1, 1, 1, 2)
    assert window_loss(weights, predictions, target, only_first).item() == pytest.approx(1.0**2 / 2)
