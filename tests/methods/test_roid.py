"""ROID: its parts by hand, and whole updates in plain torch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.made_methods import make_roid as make
from support.toys import CLASSES, SEED, toy_classifier

from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.roid import correct_prior, image_weights, soft_likelihood_ratio
from dusa_ignite.models.norms import set_trainable
from dusa_ignite.utils.seeding import sample_generators

PREDICTIONS = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)


def test_soft_likelihood_ratio_by_hand() -> None:
    expected = [-sum(p * math.log(p / (1 - p)) for p in row) for row in PREDICTIONS.tolist()]
    assert soft_likelihood_ratio(PREDICTIONS.log(), clip=0.99).tolist() == pytest.approx(expected, abs=1e-14)
    logits = torch.tensor([[1e4, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = soft_likelihood_ratio(logits, clip=0.99)
    assert loss.item() == pytest.approx(-0.99 * math.log(99), abs=1e-12)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0, 0]]


def test_weights_by_hand() -> None:
    q = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    diversity = [1 - (p @ q / (p.norm() * q.norm())).item() for p in PREDICTIONS]
    certainty = [(p * p.log()).sum().item() for p in PREDICTIONS]
    assert min(diversity) == diversity[0]
    assert max(diversity) == diversity[2]
    stretched = (diversity[1] - diversity[0]) / (diversity[2] - diversity[0])
    assert stretched < (stretched + 1) / 3  # the second image is less diverse than the mean
    weights = image_weights(PREDICTIONS.log(), q, temperature=1 / 3)
    assert certainty[2] == max(certainty)
    assert weights.tolist() == pytest.approx([0, 0, math.exp(3)], abs=1e-12)


def test_equal_images_weigh_one() -> None:
    q = torch.full((3,), 1 / 3, dtype=torch.float64)
    assert image_weights(PREDICTIONS[:1].log().repeat(2, 1), q, temperature=1 / 3).tolist() == [1, 1]
    assert image_weights(PREDICTIONS[:0].log(), q, temperature=1 / 3).shape == (0,)


def test_prior_correction_by_hand() -> None:
    p = PREDICTIONS[:2]
    mean = [0.45, 0.45, 0.1]
    smooth = max(1 / 2, 1 / 3) / 0.45
    prior = [(m + smooth) / (1 + 3 * smooth) for m in mean]
    expected = [[a * b for a, b in zip(row, prior, strict=True)] for row in p.tolist()]
    corrected = correct_prior(p.log() + 5).softmax(1)
    assert corrected.flatten().tolist() == pytest.approx([v / sum(row) for row in expected for v in row], abs=1e-14)


def test_an_image_that_is_not_finite_leaves_the_prior_of_the_others() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = correct_prior(logits)
    poisoned = torch.cat([logits[:2], torch.full((1, 4), math.nan).double(), logits[2:]])
    corrected = correct_prior(poisoned)
    assert torch.equal(corrected[[0, 1, 3, 4, 5]], expected)
    assert corrected[2].isnan().all()
    assert correct_prior(poisoned[2:3]).isnan().all()


def test_two_updates_in_plain_torch() -> None:
    run = make(lr=toys.LR).meet(toys.CONTINUAL[:2])
    model, source = toy_classifier().double(), toy_classifier().double()
    q, velocity = torch.full((CLASSES,), 1 / CLASSES, dtype=torch.float64), {}
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        batch = toys.make_batch(*step)
        images = batch["images"].double() / 255
        z = model(images)
        p = z.softmax(1)
        with torch.no_grad():
            d = 1 - torch.cosine_similarity(q[None], p, dim=1)
            d = (d - d.min()) / (d.max() - d.min())
            u = (p * p.log()).sum(1)
            u = (u - u.min()) / (u.max() - u.min())
            keep = d >= d.mean()
            w = (d * u * 3).exp()[keep]
            own = sample_generators(SEED, "fog", batch["index"][keep])
            changed = augment(images[keep], own, padding="reflect", blur_and_noise=False)
        clipped = p.clamp(max=0.99)
        slr = -(clipped * (clipped / (1 - clipped)).log()).sum(1)[keep]
        a, b = model(changed).log_softmax(1), z[keep].log_softmax(1)
        sce = -(b.exp() * a).sum(1) / 2 - (a.exp() * b).sum(1) / 2
        loss = ((slr + sce) * w).sum() / len(images)
        named = dict(model.named_parameters())
        with torch.no_grad():
            for (name, value), g in zip(named.items(), torch.autograd.grad(loss, list(named.values())), strict=True):
                velocity[name] = 0.9 * velocity.get(name, 0) + g + 0.01 * value
                value -= toys.LR * velocity[name]
                value.copy_(0.99 * value + 0.01 * source.get_parameter(name))
        q = 0.9 * q + 0.1 * p.detach().mean(0)
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        assert output["diagnostics"]["reliable"] == pytest.approx(keep.double().mean().item())
        toys.assert_close(output["y_pred"], correct_prior(z))
    toys.assert_close(run.state()["classifier"], model.state_dict())
    toys.assert_close(run.state()["method"], {"mean_prediction": q})


def test_only_what_learns_is_drawn_to_the_source() -> None:
    classifier = toy_classifier()
    set_trainable(classifier, "norm")
    run = make(classifier=classifier)
    assert set(run.method.source) == {name for name, p in classifier.named_parameters() if p.requires_grad}
    assert all("weight" in name or "bias" in name for name in run.method.source)


def test_a_last_batch_of_one_image_is_met() -> None:
    run = make().meet([("snow", 5, 1)])
    assert math.isfinite(run.log[0]["loss"])
    assert run.log[0]["diagnostics"] == {"reliable": 1, "skipped_update": 0}


def test_without_learning_and_correction_the_source_predicts() -> None:
    toys.check_without_learning(lambda **options: make(prior_correction=False, **options))


@pytest.mark.parametrize(
    "check", [toys.check_micro_batches, toys.check_reset, toys.check_resume, toys.check_empty, toys.check_not_finite]
)
def test_contract(check: Any) -> None:
    check(make)
