"""SAR: the perturbation, both filters, recovery, and whole updates in plain torch."""

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
from support.made_methods import make_recovering_sar as make_recovering
from support.made_methods import make_sar as make
from support.toys import assert_identical, toy_classifier
from torch import nn

from dusa_ignite.methods.sar import Sar, gradient_norm, perturbed
from dusa_ignite.testing import sharp_classifier


def test_the_perturbation_by_hand() -> None:
    a, b, c = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in ([1.0, 2.0], [0.1], [5.0]))
    a.grad, b.grad = torch.tensor([2.0, 3.0]).double(), torch.tensor([6.0]).double()
    assert gradient_norm([a, b, c]) == 7  # of all parameters together
    with perturbed([a, b, c], scale=0.1):
        assert a.tolist() == pytest.approx([1.2, 2.3])
        assert b.tolist() == pytest.approx([0.7])
        assert c.tolist() == [5]
        assert a.grad is b.grad is None
        assert torch.is_grad_enabled()
    assert (a.tolist(), b.tolist(), c.tolist()) == ([1.0, 2.0], [0.1], [5.0])  # 0.1 + 0.6 - 0.6 would not be 0.1


def test_updates_in_plain_torch() -> None:
    steps = toys.CONTINUAL[:3]
    run = make().meet(steps)
    classifier = sharp_classifier()
    sgd, e0, average, found = PlainSgd(classifier), 0.26 * LOG_CLASSES, None, []
    for step, output in zip(steps, run.log, strict=True):
        images = unit_images(step)
        logits = classifier(images)
        e = plain_entropy(logits)
        first = [i for i in range(len(e)) if e[i] < e0]
        gradients = sgd.gradients(e[first].mean())
        length = torch.cat([g.flatten() for g in gradients]).norm()
        kept = [p.detach().clone() for p in sgd.parameters]
        with torch.no_grad():
            for p, g in zip(sgd.parameters, gradients, strict=True):
                p += 0.2 * g / length
        e = plain_entropy(classifier(images))
        second = [i for i in first if e[i] < e0]
        loss = e[second].mean()
        gradients = sgd.gradients(loss)
        with torch.no_grad():
            for p, value in zip(sgd.parameters, kept, strict=True):
                p.copy_(value)
        sgd.step(gradients)
        average = loss.item() if average is None else 0.9 * average + 0.1 * loss.item()
        found.append((len(first), len(second)))
        toys.assert_close(output["y_pred"], logits.detach())
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        reliable = len(second) / len(e)
        assert output["diagnostics"] == {"reliable": reliable, "recovered": 0, "skipped_update": 0}
    assert any(a > b for a, b in found)  # the second filter leaves some out
    toys.assert_close(run.state()["classifier"], classifier.state_dict())
    assert run.method.loss_average == pytest.approx(average, abs=1e-10)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_recovery_forgets_weights_momentum_and_average(optimizer: str) -> None:
    classifier = sharp_classifier()
    source = {name: value.clone() for name, value in classifier.state_dict().items()}
    learning = [p for p in classifier.parameters() if p.requires_grad]
    kind: Any = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    optimizer_ = kind(learning, lr=0.05, **({"momentum": 0.9} if optimizer == "sgd" else {}))
    method = Sar(classifier=classifier, optimizer=optimizer_, micro_batch_size=8)
    for threshold, recovered in ((0.0, 0.0), (10.0, 1.0)):
        method.options = Sar.Options(entropy_margin=0.26, rho=0.2, recovery_threshold=threshold)
        output = method(None, toys.make_batch(*toys.CONTINUAL[0]))
        assert output["diagnostics"]["recovered"] == recovered
        assert bool(optimizer_.state) == (not recovered)
        assert math.isnan(method.loss_average) == bool(recovered)
    assert_identical(classifier.state_dict(), source)


def test_a_batch_without_a_reliable_image() -> None:
    check_nothing_reliable(make, entropy_margin=1e-9)


def test_a_batch_without_a_reliable_image_at_the_perturbed_weights() -> None:
    check_nothing_reliable(make, entropy_margin=0.02, rho=1.0)


def test_what_is_published() -> None:
    expected = {"entropy_margin": 0.4, "rho": 0.05, "loss_decay": 0.9, "recovery_threshold": 0.2}
    assert {name: Sar.Options.model_fields[name].default for name in expected} == expected


def test_without_learning_it_is_the_source() -> None:
    toys.check_without_learning(lambda **options: make(classifier=toy_classifier(), entropy_margin=2.0, **options))


@pytest.mark.parametrize("check", [toys.check_micro_batches, toys.check_resume, toys.check_empty])
@pytest.mark.parametrize("variant", [make, make_recovering])
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


@pytest.mark.parametrize("check", [toys.check_reset, toys.check_not_finite])
def test_contract_without_recovery(check: Any) -> None:
    check(make)
