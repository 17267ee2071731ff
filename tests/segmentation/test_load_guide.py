"""The guides controlnet and unet, from folders of the shape of Stable Diffusion 1.x."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from support.tiny_diffusion import CLASSES, TOKENS, WIDTH, alphas, write_controlnet, write_stable_diffusion
from transformers import CLIPTextModel, CLIPTokenizer

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.window_guide import WindowGuide


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_controlnet(tmp_path_factory.mktemp("control"))


@pytest.fixture
def copied(diffusion: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(diffusion, tmp_path / "sd"))


def load(folder: Path, controlnet: Path | None = None, **options: object) -> WindowGuide:
    return load_window_guide(
        str(folder),
        class_names=CLASSES,
        controlnet=None if controlnet is None else str(controlnet),
        window=64,
        **options,  # type: ignore[arg-type]
    )


def test_prompts_are_clips_last_hidden_states(diffusion: Path) -> None:
    guide = load(diffusion)
    embeddings = guide.transformer.embeddings
    assert embeddings.shape == (6, TOKENS, WIDTH)
    tokenizer = CLIPTokenizer.from_pretrained(diffusion / "tokenizer")
    tokens = tokenizer("a photo of a tree", padding="max_length", max_length=TOKENS, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = CLIPTextModel.from_pretrained(diffusion / "text_encoder").eval()(tokens).last_hidden_state
    torch.testing.assert_close(embeddings[2:3], expected, rtol=0, atol=1e-6)
    assert not embeddings.requires_grad
    assert "embeddings" not in guide.transformer.state_dict()


@pytest.mark.parametrize("with_control", [True, False])
def test_predictions_are_those_of_diffusers(diffusion: Path, control: Path, with_control: bool) -> None:
    guide = load(diffusion, control if with_control else None)
    unet = UNet2DConditionModel.from_pretrained(diffusion / "unet").eval()
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([[2, 5], [0, 2]])
    with torch.no_grad():
        predicted = guide.predict(x, torch.tensor([100, 700]), classes)
        assert predicted.shape == (2, 2, 4, 8, 8)
        for image, step in ((0, 100), (1, 700)):
            for column in range(2):
                one, prompt = x[image : image + 1], guide.transformer.embeddings[classes[image, column], None]
                residuals = {}
                if with_control:
                    net = ControlNetModel.from_pretrained(control).eval()
                    down, middle = net(one, step, prompt, torch.zeros(1, 3, 64, 64), return_dict=False)
                    residuals = {
                        "down_block_additional_residuals": down,
                        "mid_block_additional_residual": middle,
                    }
                expected = unet(one, step, prompt, **residuals).sample
                torch.testing.assert_close(predicted[image, column : column + 1], expected, rtol=0, atol=1e-5)


def test_the_path_has_the_schedulers_betas(diffusion: Path) -> None:
    x0, z = torch.full((1, 4, 2, 2), 3.0), torch.full((1, 4, 2, 2), -2.0)
    x_t, target, step = load(diffusion).path(x0, z, torch.tensor([0.1]))
    kept = alphas()[100].item()
    betas = [(0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * i / 999) ** 2 for i in range(101)]  # scaled_linear
    assert kept == pytest.approx(math.prod(1 - beta for beta in betas), rel=1e-5)
    assert step.tolist() == [100]
    assert torch.equal(target, z)
    assert x_t[0, 0, 0, 0].item() == pytest.approx(3 * kept**0.5 - 2 * (1 - kept) ** 0.5, abs=1e-6)


def test_latents_are_the_posteriors_mean_times_the_factor(diffusion: Path) -> None:
    guide = load(diffusion)
    windows = torch.rand(2, 3, 64, 48)
    vae = AutoencoderKL.from_pretrained(diffusion / "vae")
    with torch.no_grad():
        expected = vae.encode(windows * 2 - 1).latent_dist.mean * 0.5
    torch.testing.assert_close(guide.encode(windows), expected, rtol=0, atol=1e-6)
    assert guide.encode(windows).shape == (2, 4, 8, 6)
    assert guide.latent_shape == (4, 8, 8)
    with pytest.raises(ValueError, match=r"60, 64.*multiples of 8"):
        guide.encode(torch.rand(1, 3, 60, 64))
    with pytest.raises(ValueError, match="one tensor"):
        guide.encode([torch.rand(3, 64, 64)])


def test_what_learns(diffusion: Path, control: Path) -> None:
    guide = load(diffusion, control)
    learning = {name.partition(".")[0] for name, p in guide.named_parameters() if p.requires_grad}
    assert learning == {"transformer"}
    assert all(p.requires_grad for p in guide.transformer.parameters())
    assert not any(module.training for module in guide.modules())
    assert not any(p.requires_grad for p in load(diffusion, control, trainable=False).parameters())


def test_half_precision_is_the_guides_alone(diffusion: Path, control: Path) -> None:
    x, step, classes = torch.randn(1, 4, 8, 8), torch.tensor([100]), torch.tensor([[1, 3]])
    full, half = load(diffusion, control), load(diffusion, control, autocast_dtype=torch.bfloat16)
    with torch.no_grad():
        exact, rough = full.predict(x, step, classes), half.predict(x, step, classes)
    assert rough.dtype == torch.float32
    assert 0 < (exact - rough).abs().max() < 0.1
    assert all(p.dtype == torch.float32 for p in half.parameters())


def test_activation_checkpointing_has_the_same_gradients(diffusion: Path, control: Path) -> None:
    x, step, classes = torch.randn(2, 4, 8, 8), torch.tensor([100, 300]), torch.tensor([[1], [3]])
    gradients = []
    for saves in (False, True):
        guide = load(diffusion, control, activation_checkpointing=saves)
        passes = 0

        def count(*_: object) -> None:
            nonlocal passes
            passes += 1

        guide.transformer.unet.down_blocks[0].resnets[0].norm1.register_forward_hook(count)
        guide.predict(x, step, classes).square().mean().backward()
        assert passes == (2 if saves else 1)
        gradients.append([p.grad for p in guide.transformer.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 300
    for plain, saved in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, saved, rtol=1e-5, atol=1e-8)


def fails(folder: Path | str, controlnet: Path | str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_window_guide(str(folder), class_names=CLASSES, controlnet=controlnet and str(controlnet), window=64)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_wrong_with_a_folder(copied: Path, control: Path, tmp_path: Path) -> None:
    folder = re.escape(str(copied))
    other = write_controlnet(tmp_path / "other", block_out_channels=(16, 16))
    assert "is for another UNet: its block_out_channels" in fails(copied, other)
    assert re.search("unet.controlnet: .*describes a UNet2DConditionModel", fails(copied, copied / "unet"))
    assert "unet.controlnet: nobody/nothing: neither a folder" in fails(copied, "nobody/nothing")
    scheduler = copied / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps({**json.loads(scheduler.read_text()), "prediction_type": "v_prediction"}))
    assert "its UNet predicts v_prediction, not the noise" in fails(copied, control)
    (copied / "vae" / "config.json").write_text("{}")
    assert re.search(f"^unet.pretrained: {folder}/vae: not a folder in diffusers' format", fails(copied))
    (copied / "text_encoder" / "model.safetensors").unlink()
    assert "its tokenizer and text_encoder cannot be read" in fails(copied)
    (copied / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert re.search(f"^unet.pretrained: {folder}/unet: a folder without weights", fails(copied))
    shutil.rmtree(copied / "vae")
    assert f"{copied}: lacks the sub-folders vae" in fails(copied)


def test_what_is_wrong_with_prompts(copied: Path) -> None:
    with pytest.raises(ConfigError, match=r"'a photo' has no \{class\}"):
        load(copied, prompt="a photo")
    with pytest.raises(ConfigError, match="name no classes"):
        load_window_guide(str(copied), class_names=(), controlnet=None)
    with pytest.raises(CheckpointError, match=r"'a photo of a x{60}' has 70 tokens, its text encoder takes 40"):
        load_window_guide(str(copied), class_names=("wall", "x" * 60), controlnet=None)


def test_a_text_encoder_of_another_width(tmp_path: Path) -> None:
    folder = write_stable_diffusion(tmp_path / "sd", width=8)
    assert re.search(r"unet and text_encoder do not fit each other: .*tokens, 16\)", fails(folder))
