"""Diffusion-TTA: the expected embedding by hand, and whole updates in plain torch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.made_methods import make_diffusion_tta as make
from support.toys import CLASSES, SEED, toy_classifier, toy_guide

from dusa_ignite.methods.diffusion_tta import DiffusionTta, expected_embedding
from dusa_ignite.testing import Run
from dusa_ignite.utils.seeding import sample_generators


def make_predicting_after(**parts: Any) -> Run:
    return Run(DiffusionTta, DiffusionTta.Options(num_samples=2, predict_after=True), **parts)


def test_expected_embedding_by_hand() -> None:
    logits = torch.tensor([[math.log(0.6), math.log(0.1), math.log(0.3)]], dtype=torch.float64, requires_grad=True)
    table = torch.tensor([[1.0, 0.0], [0.0, 10.0], [-1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    mixed = expected_embedding(logits, table, top_k=None)
    assert mixed.tolist()[0] == pytest.approx([0.3, 1.3])
    assert expected_embedding(logits, table, top_k=2).tolist()[0] == pytest.approx([1 / 3, 1 / 3])
    assert expected_embedding(logits, table, top_k=1).tolist()[0] == pytest.approx([1, 0])
    mixed.sum().backward()
    assert logits.grad is not None  # p_k (e_k - mean), with sums of rows e = 1, 10, 0 and mean 1.6
    assert logits.grad.tolist()[0] == pytest.approx([0.6 * -0.6, 0.1 * 8.4, 0.3 * -1.6])
    assert table.grad is None


def test_a_certain_classifier_asks_about_one_class() -> None:
    guide = toy_guide().double()
    x_t, time = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.tensor([0.3, 0.7], dtype=torch.float64)
    embeddings = guide.class_embeddings()
    assert embeddings.shape == (CLASSES, 16)
    classes = torch.tensor([4, 1])
    expected = guide.predict(x_t, time, classes[:, None]).squeeze(1)
    certain = expected_embedding(1e4 * torch.eye(CLASSES, dtype=torch.float64)[classes], embeddings, top_k=None)
    toys.assert_close(guide.predict_embedded(x_t, time, certain), expected)
    no_class = guide.predict(x_t, time, torch.full((2, 1), CLASSES)).squeeze(1)
    toys.assert_close(guide.predict_unconditional(x_t, time), no_class, tolerance=0)


@pytest.mark.parametrize("top_k", [None, 3])
def test_two_updates_in_plain_torch(top_k: int | None) -> None:
    run = make(top_k=top_k).meet(toys.CONTINUAL[:2])
    classifier, guide, velocity = toy_classifier().double(), toy_guide().double(), {}
    transformer = guide.transformer
    table = transformer.y_embedder.embedding_table.weight.detach()
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        batch = toys.make_batch(*step)
        logits = classifier(batch["images"].double() / 255)
        losses = []
        for image, z, own in zip(batch["images"], logits, sample_generators(SEED, "fog", batch["index"]), strict=True):
            x0 = guide.encode(image[None].double() / 255)[0]
            chosen = z.detach().argsort(descending=True)[:top_k]
            mixed = (z[chosen].softmax(0)[:, None] * table[chosen]).sum(0)
            for _ in range(2):
                t = 0.2 + 0.6 * torch.rand((), generator=own).item()
                noise = torch.randn(3, 8, 8, generator=own).double()
                time = torch.tensor([t], dtype=torch.float64)
                v = transformer.forward_embedded(((1 - t) * x0 + t * noise)[None], time, mixed[None])[0]
                losses.append(((v - (noise - x0)) ** 2).mean())
        loss = sum(losses) / len(losses)
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        assert output["diagnostics"]["denoising_loss"] == pytest.approx(loss.item(), abs=1e-10)
        toys.assert_close(output["y_pred"], logits.detach())
        toys.sgd_step(loss, [classifier, transformer], velocity)
    toys.assert_close(run.state()["classifier"], classifier.state_dict())
    toys.assert_close(run.state()["transformer"], transformer.state_dict())


def test_predictions_after_the_update() -> None:
    run = make_predicting_after().meet(toys.CONTINUAL[:1])
    images = toys.make_batch(*toys.CONTINUAL[0])["images"].double() / 255
    toys.assert_close(run.log[0]["y_pred"], run.classifier(images).detach())
    before = make().meet(toys.CONTINUAL[:1])
    assert run.log[0]["loss"] == before.log[0]["loss"]
    assert (run.log[0]["y_pred"] - before.log[0]["y_pred"]).abs().max() > 1e-6


@pytest.mark.parametrize("option", ["num_samples", "top_k"])
def test_impossible_options(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}\n.*greater than or equal to 1"):
        make(**{option: 0})


def test_more_classes_than_there_are() -> None:
    with pytest.raises(ValueError, match=rf"^method\.top_k: {CLASSES + 1} is not allowed; allowed: <= {CLASSES} "):
        make(top_k=CLASSES + 1)
    (problem,) = DiffusionTta.Options(top_k=CLASSES + 1).problems(num_classes=CLASSES)
    assert problem == (("method.top_k",), f"{CLASSES + 1} is not allowed; allowed: <= {CLASSES} classes")
    assert list(DiffusionTta.Options(top_k=CLASSES).problems(num_classes=CLASSES)) == []


def test_batches_of_one() -> None:
    assert math.isfinite(make().meet([("fog", 3, 1)]).log[0]["loss"])


@pytest.mark.parametrize("variant", [make, make_predicting_after])
@pytest.mark.parametrize(
    "check",
    [
        toys.check_micro_batches,
        toys.check_reset,
        toys.check_resume,
        toys.check_empty,
        toys.check_not_finite,
        toys.check_without_learning,
    ],
)
def test_contract(check: Any, variant: Any) -> None:
    check(variant)
