"""LAME: neighbours and the adjustment by hand, and what the update predicts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.made_methods import make_lame as make
from support.made_methods import make_mobile_lame as make_mobile
from support.toys import CLASSES, assert_identical, toy_classifier

from dusa_ignite.methods.lame import adjust, neighbours


def test_neighbours_are_nearest_in_angle() -> None:
    angles = torch.tensor([0.0, 10.0, 25.0, 90.0]).deg2rad()
    lengths = torch.tensor([1.0, 5.0, 0.1, 2.0])
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * lengths[:, None]
    expected = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert neighbours(features, num_neighbours=1).tolist() == expected
    expected = [[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0]]
    assert neighbours(features, num_neighbours=2).tolist() == expected
    assert torch.equal(neighbours(features, num_neighbours=9), 1 - torch.eye(4))
    assert neighbours(features[:1], num_neighbours=5).tolist() == [[0]]
    assert neighbours(features[[0, 0, 3]], num_neighbours=1).tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]


def test_first_step_by_hand() -> None:
    p = torch.tensor([[0.6, 0.4], [0.1, 0.9]], dtype=torch.float64)
    affinity = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    z = adjust(p.log() + 3, affinity, max_steps=1).exp()
    a, b = 0.6 * math.exp(0.1), 0.4 * math.exp(0.9)
    assert z[0].tolist() == pytest.approx([a / (a + b), b / (a + b)], abs=1e-15)
    assert z[1].tolist() == pytest.approx([0.1, 0.9], abs=1e-15)


def test_the_adjustment_reaches_a_minimum() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 4, dtype=torch.float64, generator=generator)
    features = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    w = neighbours(features, num_neighbours=3)
    w = (w + w.T) / 2  # with a symmetric affinity the procedure cannot raise the objective
    log_p = logits.log_softmax(1)

    def objective(log_z: torch.Tensor) -> float:
        z = log_z.exp()
        return ((z * (log_z - log_p)).sum() - (z * (w @ z)).sum() / 2).item()

    values = [objective(adjust(logits, w, max_steps=steps)) for steps in (1, 2, 4, 8, 100)]
    assert values == sorted(values, reverse=True)
    fixed = adjust(logits, w, max_steps=100)
    again = (log_p + w @ fixed.exp()).log_softmax(1)
    torch.testing.assert_close(fixed, again, rtol=0, atol=1e-3)


@pytest.mark.parametrize("variant", [make, make_mobile])
def test_two_batches_in_plain_torch(variant: Any) -> None:
    run = variant().meet(toys.CONTINUAL[:2])
    classifier = variant().classifier
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        images = toys.make_batch(*step)["images"].double() / 255
        with torch.no_grad():
            logits = classifier(images)
            hidden = classifier.backbone.forward_features(classifier.view(images))
            features = classifier.backbone.forward_head(hidden, pre_logits=True)
        log_p = logits.log_softmax(1)
        unit = features / features.norm(dim=1, keepdim=True)
        distance = torch.cdist(unit, unit, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.argsort(dim=1)[:, 1:3]
        z = log_p.exp()
        for _ in range(100):
            z = torch.stack([(log_p[i] + z[nearest[i]].sum(0)).softmax(0) for i in range(len(z))])
        torch.testing.assert_close(output["y_pred"].exp(), z, rtol=0, atol=1e-6)  # they stop at the objective's 1e-8
        assert math.isnan(output["loss"])
        changed = (output["y_pred"].argmax(1) != logits.argmax(1)).double().mean().item()
        assert output["diagnostics"] == {"changed": changed, "skipped_update": 0}


def test_nothing_is_learnt_or_kept() -> None:
    run, alone = make(), make()
    before = run.state()
    run.meet(toys.CONTINUAL)
    assert_identical(run.state(), before)
    assert_identical(run.log[2:], alone.meet(toys.CONTINUAL[2:]).log)


def test_micro_batches() -> None:
    toys.check_micro_batches(make)


@pytest.mark.parametrize("variant", [make, make_mobile])
def test_empty_share(variant: Any) -> None:
    toys.check_empty(variant)


def test_an_image_alone_keeps_its_prediction() -> None:
    logits = toy_classifier().double()(toys.make_batch("fog", 3, 1)["images"].double() / 255)
    toys.assert_close(make().meet([("fog", 3, 1)]).log[0]["y_pred"], logits.detach().log_softmax(1))
    assert logits.shape == (1, CLASSES)


def test_an_image_that_is_not_finite_is_nobodys_neighbour() -> None:
    run, without = make(), make()
    predict = run.method.predict_with_features

    def poisoned(images: Any) -> tuple[torch.Tensor, torch.Tensor]:
        logits, features = predict(images)
        return logits.index_fill(0, torch.tensor([4]), math.nan), features

    run.method.predict_with_features = poisoned  # type: ignore[method-assign]
    ours = run.meet([("fog", 0, 5)]).log[0]["y_pred"]
    assert torch.equal(ours[:4], without.meet([("fog", 0, 4)]).log[0]["y_pred"])
    assert ours[4].isnan().all()


def test_batch_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_norm='source'"):
        make(classifier=toy_classifier("test_resnet"))
