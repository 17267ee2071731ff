"""EATA: which images learn, the Fisher term, and whole updates in plain torch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.entropy import (
    LOG_CLASSES,
    PlainSgd,
    check_nothing_reliable,
    plain_entropy,
    unit_images,
)
from support.made_methods import CLEAN, make_eta
from support.made_methods import make_eata as make
from support.toys import CLASSES, SEED, assert_identical, toy_classifier

from dusa_ignite.data.clean import clean_images
from dusa_ignite.errors import DataError
from dusa_ignite.handlers import TaskReset
from dusa_ignite.methods.eata import Eata
from dusa_ignite.methods.fisher import backpropagate_drift, fisher_information
from dusa_ignite.testing import Run, sharp_classifier
from dusa_ignite.utils.seeding import numpy_generator


def test_fisher_in_plain_torch() -> None:
    classifier = sharp_classifier()
    named = {name: p for name, p in classifier.named_parameters() if p.requires_grad}
    expected = {name: torch.zeros_like(p) for name, p in named.items()}
    for images in CLEAN:
        logits = classifier(images)
        loss = -logits.log_softmax(1).max(dim=1).values.mean()
        for name, g in zip(named, torch.autograd.grad(loss, list(named.values())), strict=True):
            expected[name] += g**2 / 2
    for size in (1, 8):
        fisher = fisher_information(classifier, CLEAN, micro_batch_size=size)
        toys.assert_close({name: pair[0] for name, pair in fisher.items()}, expected)
        assert_identical({name: pair[1] for name, pair in fisher.items()}, {n: p.detach() for n, p in named.items()})
    assert all(p.grad is None for p in classifier.parameters())
    with pytest.raises(ValueError, match="at least one batch"):
        fisher_information(classifier, [], micro_batch_size=1)


def test_drift_by_hand() -> None:
    classifier = toy_classifier().double()
    name, parameter = next(iter(classifier.named_parameters()))
    fisher = {name: (torch.full_like(parameter, 3.0), parameter.detach() - 0.5)}
    parameter.grad = torch.ones_like(parameter)
    assert backpropagate_drift(classifier, fisher, beta=10.0) == pytest.approx(10 * 3 * 0.25 * parameter.numel())
    torch.testing.assert_close(parameter.grad, torch.full_like(parameter, 1 + 2 * 10 * 3 * 0.5))


@pytest.mark.parametrize("variant", [make, make_eta])
def test_two_updates_in_plain_torch(variant: Any) -> None:
    steps = toys.CONTINUAL[:3]
    run = variant().meet(steps)
    classifier = sharp_classifier()
    fisher = fisher_information(classifier, CLEAN, micro_batch_size=8)
    sgd = PlainSgd(classifier)
    mean, used = None, []
    for step, output in zip(steps, run.log, strict=True):
        logits = classifier(unit_images(step))
        p, e, e0 = logits.softmax(1), plain_entropy(logits), 0.35 * LOG_CLASSES
        kept = [i for i in range(len(p)) if e[i] < e0]
        if mean is not None:
            kept = [i for i in kept if abs(p[i] @ mean / (p[i].norm() * mean.norm())) < 0.7]
        loss = sum(math.exp(e0 - e[i].item()) * e[i] for i in kept) / len(kept)
        if variant is make:
            named = dict(classifier.named_parameters())
            loss = loss + 0.5 * sum((f * (named[name] - source) ** 2).sum() for name, (f, source) in fisher.items())
        sgd.step(sgd.gradients(loss))
        new = p[kept].mean(0).detach()
        mean = new if mean is None else 0.9 * mean + 0.1 * new
        used.append(len(kept))
        toys.assert_close(output["y_pred"], logits.detach())
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        assert output["diagnostics"] == {"reliable": len(kept) / len(p), "skipped_update": 0}
    assert used == [4, 2, 1]  # each filter leaves some out
    toys.assert_close(run.state()["classifier"], classifier.state_dict())
    toys.assert_close(run.method.mean_prediction, mean)


def test_a_reset_clears_the_moving_average() -> None:
    run = make()
    reset = TaskReset(run.stateful)
    run.meet(toys.CONTINUAL[:1])
    assert run.method.mean_prediction.sum().item() == pytest.approx(1)
    reset.reset()
    assert run.method.mean_prediction.isnan().all()
    assert run.method.mean_prediction.shape == (CLASSES,)


def test_a_batch_without_a_reliable_image() -> None:
    check_nothing_reliable(make, entropy_margin=1e-9)


def test_a_batch_of_redundant_images() -> None:
    check_nothing_reliable(make, redundancy_margin=0.0)


def test_what_is_published() -> None:
    expected = {"beta": 2000.0, "entropy_margin": 0.4, "redundancy_margin": 0.05, "prediction_decay": 0.9}
    assert {name: Eata.Options.model_fields[name].default for name in expected} == expected


def test_without_learning_it_is_the_source() -> None:
    everything = {"entropy_margin": 2.0, "redundancy_margin": 2.0}
    toys.check_without_learning(lambda **options: make(**{"classifier": toy_classifier(), **everything, **options}))


@pytest.mark.parametrize("variant", [make, make_eta])
@pytest.mark.parametrize(
    "check", [toys.check_micro_batches, toys.check_reset, toys.check_resume, toys.check_empty, toys.check_not_finite]
)
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


def test_the_fisher_information_is_that_of_clean_images_drawn_in_batches_of_64() -> None:
    run = Run(Eata, fisher_root="embedded", fisher_images=70, classifier=sharp_classifier())
    clean = clean_images("embedded", key="root")
    order = numpy_generator(SEED, "fisher").permutation(len(clean))
    batches = [
        torch.stack([clean[place][0] for place in places]).double() / 255 for places in (order[:64], order[64:70])
    ]
    assert_identical(
        run.method.fisher,  # type: ignore[attr-defined]
        fisher_information(sharp_classifier(), batches, micro_batch_size=2),
    )


def test_clean_images_are_read_only_if_they_matter() -> None:
    assert Run(Eata, fisher_root="/no/where", beta=0.0).method.fisher is None  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"^/no/where: no such folder; method\.fisher_root must name"):
        Run(Eata, fisher_root="/no/where")


def test_the_fisher_term_needs_clean_images() -> None:
    with pytest.raises(ValueError, match=r"2000 needs method\.fisher_root, a folder of clean images by class"):
        Eata.Options()
