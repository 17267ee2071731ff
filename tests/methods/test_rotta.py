"""RoTTA: the bank, the robust normalisation, and whole updates in plain torch."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.made_methods import make_rotta as make
from support.made_methods import make_rotta_with_batch_norm as make_with_batch_norm
from support.toys import CLASSES, SEED, SIDE, through_a_file, toy_classifier
from timm.layers import BatchNormAct2d
from torch import nn

from dusa_ignite.handlers import TaskReset
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.memory_bank import MemoryBank
from dusa_ignite.methods.robust_norm import RobustNorm
from dusa_ignite.models import Classifier
from dusa_ignite.utils.seeding import derive_seed

# The bank


def fill(*offers: tuple[int, float], capacity: int, num_classes: int = 2, **weights: float) -> MemoryBank:
    bank = MemoryBank()
    for number, (label, uncertainty) in enumerate(offers):
        image = torch.full((3, 1, 1), number, dtype=torch.uint8)
        options = {"lambda_t": 1.0, "lambda_u": 1.0, **weights}
        bank.add(image, label, uncertainty, capacity=capacity, num_classes=num_classes, **options)  # type: ignore[arg-type]
    return bank


def kept(bank: MemoryBank) -> list[int]:
    return [int(image[0, 0, 0]) for image in bank.images]


def test_a_class_gives_up_its_own() -> None:
    bank = fill((0, 0.1), (0, 0.5), (1, 0.1), (0, 0.2), capacity=4)  # a share is 2
    assert kept(bank) == [0, 2, 3]
    assert (bank.labels, bank.ages, bank.uncertainties) == ([0, 1, 0], [4, 2, 1], [0.1, 0.1, 0.2])
    assert kept(fill((0, 0.1), (0, 0.5), (1, 0.1), (0, 0.55), capacity=4)) == [0, 2, 3]  # for its age
    assert kept(fill((0, 0.1), (0, 0.5), (1, 0.1), (0, 0.55), capacity=4, lambda_t=0.0)) == [0, 1, 2]


def test_age_and_uncertainty_are_weighed() -> None:
    old = 1 / (1 + math.exp(-2 / 4)) + 0.1 / math.log(2)
    uncertain = 1 / (1 + math.exp(-1 / 4)) + 0.13 / math.log(2)
    assert old > uncertain
    assert kept(fill((0, 0.1), (0, 0.13), (0, 0.0), capacity=4)) == [1, 2]
    assert kept(fill((0, 0.1), (0, 0.13), (0, 0.0), capacity=4, lambda_t=0.0)) == [0, 2]


def test_a_full_bank_takes_from_the_largest_class() -> None:
    bank = fill((0, 0.3), (0, 0.2), (1, 0.6), (1, 0.0), capacity=3)  # a share is 1.5
    assert kept(bank) == [1, 2, 3]
    bank = fill((0, 0.3), (1, 0.4), (2, 0.1), (3, 0.0), capacity=3, num_classes=4)  # classes of equal size
    assert kept(bank) == [0, 2, 3]
    assert len(fill(*[(i % 4, 0.3) for i in range(40)], capacity=3, num_classes=4)) <= 3


# Robust normalisation


def test_statistics_are_mixed_and_stored() -> None:
    norm = BatchNormAct2d(2).double().eval()
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor([1.0, -1.0]))
        norm.running_var.copy_(torch.tensor([4.0, 0.5]))
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mean = 0.7 * norm.running_mean + 0.3 * x.mean((0, 2, 3))
    var = 0.7 * norm.running_var + 0.3 * x.var((0, 2, 3), correction=0)
    expected = ((x - mean[:, None, None]) / (var[:, None, None] + norm.eps).sqrt()).relu()
    with RobustNorm(norm, alpha=0.3) as norms:
        output = norm(x)
    toys.assert_close(output, expected)
    toys.assert_close(
        torch.autograd.grad(output.square().sum(), x)[0], torch.autograd.grad(expected.square().sum(), x)[0]
    )
    assert norm.running_mean.tolist() == [1, -1]
    norms.commit()
    toys.assert_close([norm.running_mean, norm.running_var], [mean, var])
    assert not norm._forward_pre_hooks


# Updates


class MixedNorm(nn.BatchNorm2d):
    """BatchNorm whose statistics are 0.7 of the stored and 0.3 of the batch's where ``mixing``, and what they were."""

    mixing = False
    mixed: tuple[torch.Tensor, torch.Tensor]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.mixing:
            return super().forward(x)
        mean = 0.7 * self.running_mean + 0.3 * x.mean(dim=(0, 2, 3))
        variance = 0.7 * self.running_var + 0.3 * x.var(dim=(0, 2, 3), correction=0)
        self.mixed = mean.detach(), variance.detach()
        x = (x - mean[:, None, None]) / (variance[:, None, None] + self.eps).sqrt()
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def plain_copy(classifier: Classifier) -> tuple[Classifier, list[MixedNorm]]:
    """The same classifier, and its BatchNorm layers."""
    classifier = copy.deepcopy(classifier)
    norms: list[Any] = [module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.__class__ = MixedNorm
    return classifier, norms


@pytest.mark.parametrize(("variant", "layers"), [(make, 0), (make_with_batch_norm, 15)])
def test_two_updates_in_plain_torch(variant: Any, layers: int) -> None:
    run = variant()
    (student, norms), (teacher, teacher_norms) = plain_copy(run.classifier), plain_copy(run.classifier)
    norms = norms + teacher_norms
    assert len(norms) == 2 * layers
    run.meet(toys.CONTINUAL[:2])  # updates after the 4th and the 8th image
    bank, velocity, seen = MemoryBank(), {}, 0
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        pixels = toys.make_batch(*step)["images"]
        with torch.no_grad():
            z = teacher(pixels.double() / 255)
        entropies = torch.distributions.Categorical(logits=z).entropy()
        losses = []
        for image, label, entropy in zip(pixels, z.argmax(1).tolist(), entropies.tolist(), strict=True):
            bank.add(image, label, entropy, capacity=6, num_classes=CLASSES, lambda_t=1.0, lambda_u=1.0)
            seen += 1
            if seen % 4:
                continue
            images = torch.stack(bank.images).double() / 255
            own = [torch.Generator().manual_seed(derive_seed(SEED, "fog", "rotta", seen, i)) for i in range(len(bank))]
            for norm in norms:
                norm.mixing = True
            with torch.no_grad():
                target = teacher(images).softmax(1)
            age = torch.tensor(bank.ages).double() / 6
            weight = (-age).exp() / (1 + (-age).exp())
            loss = (-(target * student(augment(images, own)).log_softmax(1)).sum(1) * weight).mean()
            named = dict(student.named_parameters())
            gradients = torch.autograd.grad(loss, list(named.values()))
            with torch.no_grad():
                for (name, p), g in zip(named.items(), gradients, strict=True):
                    velocity[name] = 0.9 * velocity.get(name, 0) + g + 0.01 * p
                    p -= toys.LR * velocity[name]
                    average = teacher.get_parameter(name)
                    average.copy_(0.8 * average + 0.2 * p)
                for norm in norms:
                    norm.running_mean, norm.running_var = norm.mixed
                    norm.mixing = False
            losses.append(loss.item())
        toys.assert_close(output["y_pred"], z)
        assert [output["loss"]] == pytest.approx(losses, abs=1e-10)
        assert output["diagnostics"] == {"bank": len(bank), "skipped_update": 0}
    toys.assert_close(run.state()["classifier"], student.state_dict())
    toys.assert_close(run.state()["method"]["teacher"], teacher.state_dict())


def test_without_enough_images_nothing_is_learnt() -> None:
    run = make(update_every=6)
    before = run.state()["classifier"]
    output = run.meet(toys.CONTINUAL[:1]).log[0]
    assert math.isnan(output["loss"])
    assert output["diagnostics"]["skipped_update"] == 0
    toys.assert_close(run.state()["classifier"], before, tolerance=0)
    assert math.isfinite(run.meet(toys.CONTINUAL[1:2]).log[1]["loss"])


def test_batches_of_one_make_the_same_bank() -> None:
    one, batch = make(update_every=99), make(update_every=99)
    one.meet([("fog", i, 1) for i in range(5)])
    batch.meet([("fog", 0, 5)])
    toys.assert_close(one.state()["method"], batch.state()["method"])


def test_reset_clears_the_bank_and_the_statistics() -> None:
    run = make_with_batch_norm()
    before, reset = run.state(), TaskReset(run.stateful)
    run.meet(toys.CONTINUAL[:2])
    name = next(key for key in before["classifier"] if key.endswith("running_mean"))
    assert not torch.equal(run.state()["classifier"][name], before["classifier"][name])
    assert not torch.equal(run.state()["method"]["teacher"][name], before["method"]["teacher"][name])
    assert len(run.method.bank) > 0
    reset.reset()
    assert (len(run.method.bank), run.method.seen) == (0, 0)
    toys.assert_close(run.state()["method"], before["method"], tolerance=0)
    toys.assert_close(run.state()["classifier"], before["classifier"], tolerance=0)


def test_images_of_mixed_sizes_are_kept_as_the_classifier_crops_them() -> None:
    run = make()
    batch = toys.make_batch("fog", 0, 3)
    batch["images"] = [batch["images"][0], batch["images"][1, :, :20], batch["images"][2, :, :, 4:]]
    run.engine.state.iteration = 1
    run.method(run.engine, batch)
    saved = through_a_file(run.method.state_dict())["bank"]["images"]
    assert saved.shape == (len(run.method.bank), 3, SIDE, SIDE)
    assert saved.dtype == torch.uint8


def test_batch_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_norm='source'"):
        make(classifier=toy_classifier("test_resnet"))


def test_without_learning_the_teacher_is_the_source() -> None:
    toys.check_without_learning(make)


@pytest.mark.parametrize("variant", [make, make_with_batch_norm])
@pytest.mark.parametrize("check", [toys.check_micro_batches, toys.check_reset, toys.check_resume, toys.check_empty])
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


def test_a_gradient_that_is_not_finite() -> None:
    toys.check_not_finite(make_with_batch_norm)


def test_an_image_that_is_not_finite_has_no_place_in_the_bank() -> None:
    run = make(update_every=2)
    predict = run.method.predict

    def poisoned(images: Any, *others: Any) -> torch.Tensor:
        return predict(images, *others) * torch.tensor([math.nan, math.nan, 1.0, 1.0])[: len(images), None]

    run.method.predict = poisoned  # type: ignore[method-assign]
    output = run.meet([("fog", 0, 4)]).log[0]
    others = make(update_every=2).meet([("fog", 2, 2)]).log[0]
    assert output["diagnostics"]["bank"] == others["diagnostics"]["bank"] > 0
    assert math.isfinite(output["loss"])  # of the second update; there is nothing to learn from at the first
    assert all(math.isfinite(value) for value in run.method.bank.uncertainties)  # type: ignore[attr-defined]
