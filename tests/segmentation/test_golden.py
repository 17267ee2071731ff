"""Whole windows of the authors' code: classes, loss and gradients, in float64."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch
from diffusers import ControlNetModel, DDPMScheduler, UNet2DConditionModel
from support.files import load_golden

from dusa_ignite.models.guides.paths import scheduled
from dusa_ignite.segmentation.backward import NoisedWindow, backpropagate_windows
from dusa_ignite.segmentation.classes import class_weights, keep_classes, latent_logits
from dusa_ignite.segmentation.prompted_unet import PromptedUnet
from dusa_ignite.segmentation.window_guide import WindowGuide

NAMES = ("seg_step", "seg_step_capped")
NO_SCALER = torch.amp.GradScaler(enabled=False)


@dataclass
class Golden:
    guide: WindowGuide
    tensors: dict[str, torch.Tensor]
    top_per_pixel: int
    max_classes: int
    step: int


def load(name: str) -> Golden:
    tensors, meta = load_golden(name)
    unet = UNet2DConditionModel(**json.loads(meta["unet"]))
    controlnet = ControlNetModel.from_unet(unet, conditioning_channels=3)
    for prefix, model in (("unet.", unet), ("controlnet.", controlnet)):
        model.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    transformer = PromptedUnet(
        unet.double(), controlnet=controlnet.double(), embeddings=tensors["class_embeddings"]
    ).requires_grad_()
    scheduler = DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    guide = WindowGuide(transformer, path=scheduled(scheduler.alphas_cumprod), image_size=64)
    return Golden(guide, tensors, int(meta["topk"]), int(meta["max_classes"]), int(meta["step"]))


def noised(golden: Golden, logits: torch.Tensor) -> NoisedWindow:
    tensors = golden.tensors
    x_t, target, model_time = golden.guide.path(
        tensors["latents"], tensors["noise"], torch.tensor([golden.step / 1000], dtype=torch.float64)
    )
    assert model_time.tolist() == [golden.step]
    scores = torch.zeros(logits.shape[1])  # what the authors' generator drew first has the highest score
    scores[tensors["classes"]] = torch.arange(len(tensors["classes"]), 0, -1.0)
    z = latent_logits(logits, size=(8, 8))
    kept = keep_classes(z, top_per_pixel=golden.top_per_pixel, max_classes=golden.max_classes, scores=scores)
    return NoisedWindow(x_t, target, model_time, kept, class_weights(z, kept.classes))


@pytest.mark.parametrize("micro_batch_size", [20, 4, 1])
@pytest.mark.parametrize("name", NAMES)
def test_a_window_is_that_of_the_authors(name: str, micro_batch_size: int) -> None:
    golden = load(name)
    tensors = golden.tensors
    logits = tensors["logits"].clone().requires_grad_()
    window = noised(golden, logits)
    assert torch.equal(window.kept.classes, tensors["classes"])
    assert torch.equal(window.kept.mask.double(), tensors["mask"])
    loss = backpropagate_windows(golden.guide, [window], share=1.0, scaler=NO_SCALER, micro_batch_size=micro_batch_size)
    assert loss.item() == pytest.approx(tensors["loss"].item(), rel=1e-6)
    gradients = {name: p.grad for name, p in golden.guide.transformer.named_parameters()} | {"logits": logits.grad}
    expected = {key.removeprefix("grad_"): value for key, value in tensors.items() if key.startswith("grad_")}
    assert len(expected) == 4
    for key, value in expected.items():
        gradient = gradients[key]
        assert gradient is not None
        assert (gradient - value).norm() <= 1e-4 * value.norm(), key


@pytest.mark.parametrize("seed", range(3))
def test_over_the_cap_any_draw_is_of_the_likeliest_classes(seed: int) -> None:
    golden = load("seg_step_capped")
    z = latent_logits(golden.tensors["logits"], size=(8, 8))
    scores = torch.rand(12, generator=torch.Generator().manual_seed(seed))
    kept = keep_classes(z, top_per_pixel=3, max_classes=5, scores=scores)
    likeliest = z.argmax(dim=1).unique()
    assert likeliest.tolist() == [0, 1, 2, 3, 4, 5, 7, 10]
    assert set(kept.classes.tolist()) < set(likeliest.tolist())
    assert len(kept.classes.unique()) == 5
    assert torch.equal(kept.mask[0, 0], torch.isin(z.argmax(dim=1)[0], kept.classes))
