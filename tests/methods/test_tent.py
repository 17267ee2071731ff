"""Tent: entropy by hand, whole updates in plain torch, and the contract of all methods."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.entropy import PlainSgd, plain_entropy, unit_images
from support.made_methods import make_tent as make
from support.made_methods import make_tent_with_batch_norm as make_with_batch_norm
from support.toys import toy_classifier

from dusa_ignite.methods.entropy import entropy
from dusa_ignite.testing import sharp_classifier


def test_entropy_by_hand() -> None:
    p = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)
    assert entropy(p.log() + 7).tolist() == pytest.approx([1.5 * math.log(2), math.log(3)], abs=1e-15)


def test_entropy_of_large_logits_is_finite() -> None:
    logits = torch.tensor([[1e30, 0.0, -1e30], [5e4, 5e4, -5e4]], requires_grad=True)
    values = entropy(logits)
    assert values.tolist() == pytest.approx([0, math.log(2)], abs=1e-6)
    values.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet", "test_efficientnet"])  # LayerNorm2d, BatchNorm(Act)2d
def test_two_updates_in_plain_torch(name: str) -> None:
    run = make(classifier=sharp_classifier(name)).meet(toys.CONTINUAL[:2])
    classifier = sharp_classifier(name)
    sgd = PlainSgd(classifier)
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        logits = classifier(unit_images(step))
        loss = plain_entropy(logits).mean()
        sgd.step(sgd.gradients(loss))
        toys.assert_close(output["y_pred"], logits.detach())
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        assert output["diagnostics"] == {"skipped_update": 0}
    toys.assert_close(run.state()["classifier"], classifier.state_dict())


def test_without_learning_it_is_the_source() -> None:
    toys.check_without_learning(lambda **options: make(**{"classifier": toy_classifier(), **options}))


@pytest.mark.parametrize("variant", [make, make_with_batch_norm])
@pytest.mark.parametrize("check", [toys.check_micro_batches, toys.check_reset, toys.check_resume])
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


@pytest.mark.parametrize("check", [toys.check_empty, toys.check_not_finite])
def test_contract_of_the_odd_batch(check: Any) -> None:
    check(make)
