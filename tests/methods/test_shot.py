"""SHOT's information maximisation: the loss by hand, whole updates in plain torch, and the contract of all methods."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.entropy import PlainSgd, plain_entropy, unit_images
from support.made_methods import make_shot as make
from support.made_methods import make_shot_with_batch_norm as make_with_batch_norm
from support.made_methods import make_tent
from support.toys import toy_classifier

from dusa_ignite.methods.diversity import diversity_terms
from dusa_ignite.methods.entropy import entropy
from dusa_ignite.testing import sharp_classifier


def test_loss_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64).log()
    of_images = diversity_terms(1.0, lambda: logits, 2)
    assert of_images is not None
    sure = (math.log(2) + 0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / 2
    even = 0.375 * math.log(0.375) + 0.625 * math.log(0.625)
    assert (entropy(logits) + of_images(logits)).mean().item() == pytest.approx(sure + even, abs=1e-15)


@pytest.mark.parametrize("diversity", [1.0, 0.3])
@pytest.mark.parametrize("name", ["test_convnext", "test_resnet"])
def test_two_updates_in_plain_torch(name: str, diversity: float) -> None:
    run = make(classifier=sharp_classifier(name), diversity=diversity).meet(toys.CONTINUAL[:2])
    classifier = sharp_classifier(name)
    sgd = PlainSgd(classifier)
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        logits = classifier(unit_images(step))
        mean = logits.softmax(1).mean(0)
        loss = plain_entropy(logits).mean() + diversity * (mean * mean.log()).sum()
        sgd.step(sgd.gradients(loss))
        toys.assert_close(output["y_pred"], logits.detach())
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        assert output["diagnostics"] == {"skipped_update": 0}
    toys.assert_close(run.state()["classifier"], classifier.state_dict())


def test_without_diversity_it_is_tent() -> None:
    shot, tent = make(diversity=0.0).meet(toys.CONTINUAL), make_tent().meet(toys.CONTINUAL)
    toys.assert_close(toys.log_and_state(shot), toys.log_and_state(tent))


def test_without_learning_it_is_the_source() -> None:
    toys.check_without_learning(lambda **options: make(**{"classifier": toy_classifier(), **options}))


@pytest.mark.parametrize("variant", [make, make_with_batch_norm])
@pytest.mark.parametrize("check", [toys.check_micro_batches, toys.check_reset, toys.check_resume])
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


@pytest.mark.parametrize("check", [toys.check_empty, toys.check_not_finite])
def test_contract_of_the_odd_batch(check: Any) -> None:
    check(make)
