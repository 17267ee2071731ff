"""DUSA-U: the golden step of the original, and whole updates in plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support import method_runs as toys
from support.files import load_golden, split_golden
from support.made_methods import make_dusa_u as make
from support.toys import CLASSES, SEED, toy_classifier, toy_guide

from dusa_ignite.methods.dusa_u import dusa_u_loss
from dusa_ignite.methods.losses import Loss
from dusa_ignite.models import Guide, load_transformer
from dusa_ignite.models.guides.paths import ddpm
from dusa_ignite.utils.seeding import sample_generators

PUBLISHED: dict[str, Any] = {"normalise_logits": True, **Loss().model_dump()}


def assert_relative(actual: torch.Tensor | None, expected: torch.Tensor, tolerance: float) -> None:
    """The largest difference against the largest expected value."""
    assert actual is not None
    assert (actual.double() - expected.double()).abs().max() <= tolerance * expected.double().abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_golden_step(tmp_path: Path, dtype: torch.dtype) -> None:
    golden, _ = load_golden("dusa_u_step")
    weights, _, sizes = split_golden("dit_tiny")
    save_file(weights, tmp_path / "weights.safetensors")
    transformer = load_transformer(str(tmp_path / "weights.safetensors"), family="dit", **sizes).to(dtype)
    guide = Guide(transformer, path=ddpm, image_size=8)
    x0, noise = golden["latents"].to(dtype), golden["noise"].to(dtype)
    x_t, target, model_time = guide.path(x0, noise, torch.full((3,), 0.1))
    logits = golden["logits"].to(dtype).requires_grad_()
    with torch.no_grad():
        conditional = guide.predict(x_t, model_time, golden["classes"])
    unconditional = guide.predict_unconditional(x_t, model_time)
    loss = dusa_u_loss(logits, golden["classes"], conditional, unconditional, target, **PUBLISHED)
    loss.backward()
    assert_relative(loss.detach(), golden["loss"], 1e-5)
    assert_relative(logits.grad, golden["grad_logits"], 1e-4)
    assert_relative(transformer.blocks[0].attn.qkv.weight.grad, golden["grad_block0_qkv_weight"], 1e-5)
    assert_relative(transformer.final_layer.linear.weight.grad, golden["grad_final_linear_weight"], 1e-5)


def test_no_gradient_reaches_the_conditional_predictions() -> None:
    conditional, target = torch.randn(2, 3, 4, requires_grad=True), torch.zeros(2, 4)
    unconditional, logits = torch.ones(2, 4, requires_grad=True), torch.randn(2, 5, requires_grad=True)
    classes = torch.tensor([[0, 1, 2]] * 2)
    dusa_u_loss(logits, classes, conditional, unconditional, target, **PUBLISHED).backward()
    assert conditional.grad is None
    assert logits.grad is not None
    assert unconditional.grad is not None
    assert unconditional.grad.tolist() == [[0.25] * 4] * 2  # 2 e / (4 elements * 2 images)


def test_two_updates_in_plain_torch() -> None:
    run = make(num_random=0).meet(toys.CONTINUAL[:2])
    classifier, transformer, velocity = toy_classifier().double(), toy_guide().double().transformer, {}
    for step, output in zip(toys.CONTINUAL[:2], run.log, strict=True):
        batch = toys.make_batch(*step)
        logits = classifier(batch["images"].double() / 255)
        losses = []
        for image, z, own in zip(batch["images"], logits, sample_generators(SEED, "fog", batch["index"]), strict=True):
            x0 = toy_guide().encode(image[None].double() / 255)[0]
            t = 0.2 + 0.6 * torch.rand((), generator=own).item()
            noise = torch.randn(3, 8, 8, generator=own).double()
            x_t, target, time = (1 - t) * x0 + t * noise, noise - x0, torch.tensor([t], dtype=torch.float64)
            top = z.detach().argsort(descending=True)[:2]
            w = (z / z.norm())[top].softmax(0)
            v = [transformer(x_t[None], time, k[None])[0].detach() for k in top]
            v0 = transformer(x_t[None], time, torch.tensor([CLASSES]))[0]
            losses.append(((v0 - target) ** 2).mean() + ((w[0] * v[0] + w[1] * v[1] - target) ** 2).mean())
        loss = sum(losses) / len(losses)
        assert output["loss"] == pytest.approx(loss.item(), abs=1e-10)
        toys.assert_close(output["y_pred"], logits.detach())
        toys.sgd_step(loss, [classifier, transformer], velocity)
    toys.assert_close(run.state()["classifier"], classifier.state_dict())
    toys.assert_close(run.state()["transformer"], transformer.state_dict())


def test_batches_of_one() -> None:
    assert make().meet([("fog", 3, 1)]).log[0]["y_pred"].shape == (1, CLASSES)


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
def test_contract(check: Any) -> None:
    check(make)
