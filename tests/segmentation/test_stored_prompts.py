"""Guides whose prompts are kept in a file, and guides in pixel space."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from support.tiny_diffusion import CLASSES, UNET, WIDTH, write_controlnet, write_stable_diffusion

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.segmentation.load_guide import load_window_guide
from dusa_ignite.segmentation.stored_prompts import PROMPTS, read_prompts, write_prompts
from dusa_ignite.segmentation.window_guide import WindowGuide

EMBEDDINGS = torch.randn(len(CLASSES), 2, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A guide in pixel space without a text encoder."""
    made = write_stable_diffusion(tmp_path / "sd")
    for part in ("unet", "vae", "tokenizer", "text_encoder"):
        shutil.rmtree(made / part)
    write_unet(made, channels=3)
    write_prompts(made / PROMPTS, EMBEDDINGS, CLASSES)
    return made


def write_unet(folder: Path, *, channels: int, **changes: int) -> None:
    torch.manual_seed(1)
    unet = UNet2DConditionModel(**{**UNET, "in_channels": channels, "out_channels": channels, **changes})
    unet.half().save_pretrained(folder / "unet")


def load(folder: Path, **options: object) -> WindowGuide:
    return load_window_guide(
        str(folder), **{"class_names": CLASSES, "controlnet": None, "window": 32, **options}  # type: ignore[arg-type]
    )  # fmt: skip


def fails(folder: Path, **options: object) -> str:
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_windows_are_shown_as_they_are(folder: Path) -> None:
    guide = load(folder)
    assert (guide.vae, guide.scaling_factor, guide.latent_shape) == (None, 1.0, (3, 32, 32))
    windows = torch.rand(2, 3, 32, 24)
    assert torch.equal(guide.encode(windows), windows * 2 - 1)
    assert all(p.dtype == torch.float32 and p.requires_grad for p in guide.transformer.parameters())
    assert not any(p.requires_grad for p in load(folder, trainable=False).parameters())


def test_prompts_are_those_of_the_file(folder: Path) -> None:
    guide = load(folder)
    assert torch.equal(guide.transformer.embeddings, EMBEDDINGS)
    x, step = torch.randn(1, 3, 16, 16), torch.tensor([400])
    with torch.no_grad():
        predicted = guide.predict(x, step, torch.tensor([[4, 1]]))
        expected = guide.transformer.unet(x, step, EMBEDDINGS[4:5]).sample
    torch.testing.assert_close(predicted[:, 0], expected)
    assert not torch.allclose(predicted[:, 0], predicted[:, 1])


def test_stable_diffusion_may_have_them_too(tmp_path: Path) -> None:
    made = write_stable_diffusion(tmp_path / "sd")
    shutil.rmtree(made / "tokenizer")
    write_prompts(made / PROMPTS, EMBEDDINGS, CLASSES)
    guide = load(made)
    assert guide.latent_shape == (4, 4, 4)
    assert torch.equal(guide.transformer.embeddings, EMBEDDINGS)


def test_what_is_wrong_with_a_guide_in_pixel_space(folder: Path, tmp_path: Path) -> None:
    assert f"unet.prompt: {folder} has its prompts in {PROMPTS}" in fails(folder, prompt="a {class}")
    control = write_controlnet(tmp_path / "control")
    assert f"unet.controlnet: {folder} works on pixels" in fails(folder, controlnet=str(control))
    write_unet(folder, channels=3, out_channels=6)
    assert "takes 3 channels and returns 6; allowed: 4 (latents" in fails(folder)
    write_unet(folder, channels=4)
    assert "lacks the sub-folders vae" in fails(folder)
    write_unet(folder, channels=3, cross_attention_dim=8)
    assert f"unet and {PROMPTS} do not fit each other: " in fails(folder)
    (folder / PROMPTS).unlink()
    assert f"lacks the sub-folders tokenizer, text_encoder that Stable Diffusion 1.x has (or {PROMPTS} for" in fails(
        folder
    )


def test_prompts_for_other_classes(folder: Path) -> None:
    where = f"unet.pretrained: {folder}: {PROMPTS}: "
    assert fails(folder, class_names=CLASSES[:-1]).startswith(f"{where}is for 6 classes, the data have 5; take a guide")
    swapped = ("sky", "wall", *CLASSES[2:])
    assert fails(folder, class_names=swapped).startswith(f"{where}class 0 is 'wall' there and 'sky' in the data; take")


@pytest.mark.parametrize(
    ("tensors", "names", "reason"),
    [
        ({"other": EMBEDDINGS}, json.dumps(CLASSES), "must hold a tensor embeddings"),
        ({"embeddings": EMBEDDINGS}, None, r"in its metadata, classes: a JSON list of names \('classes'\)"),
        ({"embeddings": EMBEDDINGS}, "wall, sky", "must hold a tensor embeddings"),
        ({"embeddings": EMBEDDINGS}, '{"wall": 0}', r"here it is \(6, 2, 16\)"),
        ({"embeddings": EMBEDDINGS[:, 0]}, json.dumps(CLASSES), r"here it is \(6, 16\)"),
        ({"embeddings": EMBEDDINGS[:5]}, json.dumps(CLASSES), r"here it is \(5, 2, 16\)"),
    ],
)
def test_what_is_wrong_with_a_file(
    tmp_path: Path, tensors: dict[str, torch.Tensor], names: str | None, reason: str
) -> None:
    file = tmp_path / PROMPTS
    save_file({name: value.contiguous() for name, value in tensors.items()}, file, names and {"classes": names})
    with pytest.raises(CheckpointError, match=reason):
        read_prompts(file, CLASSES, source="x")
    file.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=f"x: {PROMPTS}: must hold"):
        read_prompts(file, CLASSES, source="x")


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    write_prompts(tmp_path / PROMPTS, EMBEDDINGS.half(), CLASSES)
    again = read_prompts(tmp_path / PROMPTS, list(CLASSES), source="x")
    assert again.dtype == torch.float32
    assert torch.equal(again, EMBEDDINGS.half().float())
