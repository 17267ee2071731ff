"""DeYO: destroyed images and the probability difference by hand, and whole updates in plain torch."""

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
from support.made_methods import make_deyo as make
from support.made_methods import make_deyo_with_batch_norm as make_with_batch_norm
from support.toys import SEED, toy_classifier

from dusa_ignite.methods.destruction import destroy
from dusa_ignite.methods.deyo import Deyo, probability_difference
from dusa_ignite.testing import sharp_classifier
from dusa_ignite.utils.seeding import sample_generators


def generators(count: int) -> list[torch.Generator]:
    return sample_generators(SEED, "fog", torch.arange(count))


def test_probability_difference_by_hand() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]).log()
    others = torch.tensor([[0.3, 0.6, 0.1], [0.1, 0.1, 0.8]]).log()
    assert probability_difference(p, others).tolist() == pytest.approx([0.4, -0.2])


def test_patches_change_places() -> None:
    images = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    shuffled = destroy(images, generators(2), destruction="patch", patches_per_side=4)
    for image, other, own in zip(images, shuffled, generators(2), strict=True):
        order = torch.randperm(16, generator=own).tolist()
        assert order != sorted(order)
        for place, cell in enumerate(order):
            (y, x), (v, u) = divmod(place, 4), divmod(cell, 4)
            here = other[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            assert torch.equal(here, image[:, 2 * v : 2 * v + 2, 2 * u : 2 * u + 2])
    assert torch.equal(
        destroy(images[1:], generators(2)[1:], destruction="patch", patches_per_side=4), shuffled[1:]
    )  # each on its own


def test_patches_that_do_not_divide_the_image() -> None:
    images = torch.rand(2, 3, 30, 30, generator=torch.Generator().manual_seed(0))
    shuffled = destroy(images, generators(2), destruction="patch", patches_per_side=4)
    assert shuffled.shape == images.shape
    assert shuffled.min() >= 0
    assert shuffled.max() <= 1
    assert not torch.allclose(shuffled, images, atol=0.1)


def test_pixels_change_places() -> None:
    images = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    shuffled = destroy(images, generators(2), destruction="pixel", patches_per_side=4)
    for image, other in zip(images, shuffled, strict=True):
        assert not torch.equal(image, other)
        assert sorted(image.flatten(1).T.tolist()) == sorted(other.flatten(1).T.tolist())  # colours stay together


def test_the_middle_is_occluded() -> None:
    images = torch.arange(3 * 16.0).view(1, 3, 4, 4)
    occluded = destroy(images, generators(1), destruction="occlusion", patches_per_side=4)
    assert occluded[0, 0].tolist() == [[0, 1, 2, 3], [4, 7.5, 7.5, 7], [8, 7.5, 7.5, 11], [12, 13, 14, 15]]
    assert occluded[0, 2, 1, 1] == 39.5
    with pytest.raises(ValueError, match="patch, pixel or occlusion"):
        destroy(images, generators(1), destruction="blur", patches_per_side=4)


@pytest.mark.parametrize("destruction", ["patch", "occlusion"])
def test_updates_in_plain_torch(destruction: str) -> None:
    steps = toys.CONTINUAL[:3]
    run = make(destruction=destruction).meet(steps)
    classifier = sharp_classifier()
    sgd, found = PlainSgd(classifier), []
    for step, output in zip(steps, run.log, strict=True):
        images, index = unit_images(step), toys.make_batch(*step)["index"]
        own = sample_generators(SEED, step[0], index)
        with torch.no_grad():
            q = classifier(destroy(images, own, destruction=destruction, patches_per_side=4)).softmax(1)
        logits = classifier(images)
        p, e = logits.softmax(1), plain_entropy(logits)
        plpd = [(p[i, p[i].argmax()] - q[i, p[i].argmax()]).item() for i in range(len(p))]
        sure = [i for i in range(len(p)) if e[i] < 0.4 * LOG_CLASSES]
        kept = [i for i in sure if plpd[i] > 0.05]
        weights = [1 / math.exp(e[i].item() - 0.4 * LOG_CLASSES) + 1 / math.exp(-plpd[i]) for i in kept]
        loss = sum(w * e[i] for w, i in zip(weights, kept, strict=True)) / len(kept)
        sgd.step(sgd.gradients(loss))
        found.append((len(p), len(sure), len(kept)))
        toys.assert_close(output["y_pred"], logits.detach())
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        expected = {"confident": len(sure) / len(p), "reliable": len(kept) / len(p), "skipped_update": 0}
        assert output["diagnostics"] == expected
    assert any(a > b for a, b, _ in found)  # each filter leaves some out
    assert any(b > c for _, b, c in found)
    toys.assert_close(run.state()["classifier"], classifier.state_dict())


def test_objects_are_destroyed_in_images_that_are_not_normalised() -> None:
    run, seen = make(), []
    run.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    run.meet(toys.CONTINUAL[:1])
    assert sum(map(len, seen)) > 5  # besides the images themselves
    assert all(images.min() >= 0 and images.max() <= 1 for images in seen)


def test_a_batch_without_a_sure_image() -> None:
    check_nothing_reliable(make, entropy_threshold=1e-9)


def test_a_batch_without_an_image_that_rests_on_the_object() -> None:
    check_nothing_reliable(make, plpd_threshold=1.0)


def test_what_is_published() -> None:
    expected = {"entropy_threshold": 0.5, "entropy_margin": 0.4, "plpd_threshold": 0.2, "patches_per_side": 4}
    assert {name: Deyo.Options.model_fields[name].default for name in expected} == expected


def test_without_learning_it_is_the_source() -> None:
    everything = {"classifier": toy_classifier(), "entropy_threshold": 2.0, "plpd_threshold": -1.0}
    toys.check_without_learning(lambda **options: make(**everything, **options))


@pytest.mark.parametrize("variant", [make, make_with_batch_norm])
@pytest.mark.parametrize("check", [toys.check_micro_batches, toys.check_reset, toys.check_resume])
def test_contract(check: Any, variant: Any) -> None:
    check(variant)


@pytest.mark.parametrize("check", [toys.check_empty, toys.check_not_finite])
def test_contract_of_the_odd_batch(check: Any) -> None:
    check(make)
