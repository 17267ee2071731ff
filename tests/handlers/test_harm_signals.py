"""The numbers that the monitor looks at, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from dusa_ignite.handlers.harm_signals import COUNTS, HarmWindow, batch_sums, signals

NAN = math.nan


def one_hot(classes: list[int]) -> torch.Tensor:
    """Logits (B, 3) of these predictions."""
    return torch.nn.functional.one_hot(torch.tensor(classes), 3).double()


def output(predicted: list[int], by_source: list[int], **more: Any) -> Any:
    diagnostics = {"skipped_update": 0.0, **more.pop("diagnostics", {})}
    return {"y_pred": one_hot(predicted), "source_y_pred": one_hot(by_source), "diagnostics": diagnostics, **more}


def sums(**counts: float) -> torch.Tensor:
    """A batch's sums without class counts: those given, the others 0."""
    return torch.tensor([counts.get(name, 0.0) for name in COUNTS], dtype=torch.float64)


def test_the_places_of_an_image_count_as_much_as_an_image() -> None:
    predicted = torch.nn.functional.one_hot(torch.tensor([[[0, 0], [1, 2]], [[1, 1], [1, 1]]]), 3).movedim(-1, 1)
    by_source = torch.nn.functional.one_hot(torch.tensor([[[0, 0], [0, 0]], [[1, 1], [2, 2]]]), 3).movedim(-1, 1)
    made: Any = {"y_pred": predicted.double(), "source_y_pred": by_source.double(), "diagnostics": {}}
    counted = batch_sums(made, 3)
    assert counted[0] == 2  # images
    assert counted[len(COUNTS) :].tolist() == [0.5, 1.25, 0.25, 1.0, 0.5, 0.5]
    found = signals(counted, counted[: len(COUNTS)])
    assert (found.top_share, found.source_top_share) == (0.625, 0.5)


def test_a_batch_is_counted() -> None:
    candidates = torch.tensor([[0, 1], [0, 1], [1, 2], [0, 1]])
    errors = torch.tensor([[1.0, 2.0], [3.0, 3.0], [1.0, 2.0], [1.0, 2.0]])
    made = output(
        [0, 0, 1, 2],  # images 0, 1 and 3 have changed their class; the guide was not asked about image 3's new one
        [1, 1, 1, 0],
        candidates=candidates,
        candidate_errors=errors,
        diagnostics={"auc": 0.75, "auc_std": 0.25, "skipped_update": 1.0},
    )
    found = batch_sums(made, 3).tolist()
    assert dict(zip(COUNTS, found, strict=False)) == {
        "images": 4,
        "updates": 1,
        "skipped": 1,
        "rated": 4,
        "auc": 3.0,
        "auc_squares": 4 * (0.75**2 + 0.25**2),
        "changed": 2,
        "won": 1.5,  # image 0: 1 < 2, a vote for the new class; image 1: equal, half a vote
    }
    assert found[len(COUNTS) :] == [2, 1, 1, 1, 3, 0]  # predictions per class, then the source model's


def test_without_a_guide_only_predictions_are_counted() -> None:
    found = dict(zip(COUNTS, batch_sums(output([0, 1], [0, 0]), 3).tolist(), strict=False))
    assert found == {**dict.fromkeys(COUNTS, 0.0), "images": 2, "updates": 1}


def test_a_share_without_images() -> None:
    empty = {"y_pred": torch.empty(0, 3), "source_y_pred": torch.empty(0, 3), "diagnostics": {}}
    assert batch_sums(empty, 3).tolist() == [0, 1, *[0] * 12]  # type: ignore[arg-type]


def test_the_window_holds_the_newest_batches_that_fill_it() -> None:
    window = HarmWindow(size=5, length=len(COUNTS))
    held = []
    for count in (2, 2, 2, 3, 9):
        window.add(sums(images=count, updates=1))
        held.append((window.images, len(window.batches)))
    assert held == [(2, 1), (4, 2), (6, 3), (5, 2), (9, 1)]


def test_the_window_goes_on_from_its_state() -> None:
    window, again = HarmWindow(size=5, length=len(COUNTS)), HarmWindow(size=5, length=len(COUNTS))
    for value in (0.1, 0.2, 0.3):
        window.add(sums(images=2, auc=value))
    again.load_state_dict(window.state_dict())
    for one in (window, again):
        one.add(sums(images=1, auc=0.7))
    assert torch.equal(window.sums, again.sums)
    assert [batch.tolist() for batch in window.batches] == [batch.tolist() for batch in again.batches]


def test_signals_by_hand() -> None:
    classes = torch.tensor([6.0, 2.0, 0.0, 4.0, 4.0, 0.0], dtype=torch.float64)
    recent = torch.cat([sums(images=8, updates=4, skipped=1, rated=8, auc=4.8, auc_squares=4.16), classes])
    found = signals(recent, sums(images=20, changed=10, won=0))
    assert found._asdict() == pytest.approx(
        {
            "guide_auc": 0.6,
            "guide_auc_low": 0.6 - 1.959964 * math.sqrt((0.52 - 0.36) / 8),
            "top_share": 0.75,
            "source_top_share": 0.5,
            "class_ratio": 4 / 3**0.75 / 2,  # exp(entropy) of 3/4 and 1/4 is 4 / 3^(3/4), of two halves 2
            "changed": 0.5,
            "vote": 0.0,
            "vote_high": 2.575829**2 / (10 + 2.575829**2),  # Wilson's interval of nobody out of ten
            "skipped": 0.25,
        },
        abs=1e-12,
    )


def test_what_cannot_be_said_is_not_a_number() -> None:
    classes = torch.ones(6, dtype=torch.float64)
    found = signals(torch.cat([sums(images=3, updates=1), classes]), sums(images=3))
    assert found == pytest.approx((NAN, NAN, 1 / 3, 1 / 3, 1.0, 0.0, NAN, NAN, 0.0), nan_ok=True)
