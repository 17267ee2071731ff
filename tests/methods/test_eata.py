"""EATA: which images learn, the Fisher term, and whole updates in plain torch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.entropy import (
    LOG_CLASSES,
    LR,
    PlainSgd,
    check_nothing_reliable,
    plain_entropy,
    sharp_classifier,
    unit_images,
    without_seed,
)
from support.toys import CLASSES, SIDE, assert_identical, toy_classifier
from support.written_runs import DIGITS

from dusa_ignite.config import load_config
from dusa_ignite.errors import DataError
from dusa_ignite.handlers import TaskReset
from dusa_ignite.methods.eata import EataMemory, backpropagate_drift, eata, fisher_information
from dusa_ignite.runs import build, build_method

OPTIONS: dict[str, Any] = {"entropy_margin": 0.35, "redundancy_margin": 0.7, "beta": 0.5}
CLEAN = [  # every process has them all
    torch.rand(count, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    for count in (4, 2)
]


def make(**options: Any) -> toys.Run:
    classifier = options.pop("classifier", None) or sharp_classifier()
    fisher = fisher_information(classifier.double(), CLEAN, micro_batch_size=3)
    options = {"classifier": classifier, "lr": LR, "fisher": fisher, **OPTIONS, **options}
    return toys.Run(without_seed(eata), memory=EataMemory, **options)


def make_eta(**options: Any) -> toys.Run:
    return make(fisher=None, **options)


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
    toys.assert_close(run.memory.mean_prediction, mean)


def test_a_reset_clears_the_moving_average() -> None:
    run = make()
    reset = TaskReset(run.stateful)
    run.meet(toys.CONTINUAL[:1])
    assert run.memory.mean_prediction.sum().item() == pytest.approx(1)
    reset.reset()
    assert run.memory.mean_prediction.isnan().all()
    assert run.memory.mean_prediction.shape == (CLASSES,)


def test_a_batch_without_a_reliable_image() -> None:
    check_nothing_reliable(make, entropy_margin=1e-9)


def test_a_batch_of_redundant_images() -> None:
    check_nothing_reliable(make, redundancy_margin=0.0)


def test_what_is_published() -> None:
    expected = {"beta": 2000.0, "entropy_margin": 0.4, "redundancy_margin": 0.05, "prediction_decay": 0.9}
    assert {name: eata.__kwdefaults__[name] for name in expected} == expected


def test_without_learning_it_is_the_source() -> None:
    everything = {"entropy_margin": 2.0, "redundancy_margin": 2.0}
    toys.check_without_learning(lambda **options: make(**{"classifier": toy_classifier(), **everything, **options}))


@pytest.mark.parametrize("variant", [make, make_eta])
@pytest.mark.parametrize(
    "check", [toys.check_micro_batches, toys.check_reset, toys.check_resume, toys.check_empty, toys.check_not_finite]
)
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


def test_clean_images_are_read_only_if_they_matter() -> None:
    options = ["method.name=eata", "method.fisher_root=/no/where"]
    for beta in (0, 2000):
        config = load_config(DIGITS, [*options, f"method.beta={beta}"])
        classifier = build.classifier(config)
        parts = (classifier, None, build_method.optimizer(config, classifier, None))
        if beta == 0:
            build_method.update(config, *parts, memory=EataMemory(classifier))
        else:
            with pytest.raises(DataError, match=r"^/no/where: no such folder; method\.fisher_root must name"):
                build_method.update(config, *parts, memory=EataMemory(classifier))
