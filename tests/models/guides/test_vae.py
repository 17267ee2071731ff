"""The VAE: loaded from a folder in diffusers' format, frozen, strict."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models import Guide, load_vae
from dusa_ignite.models.guides import vae
from dusa_ignite.models.guides.paths import linear

TINY: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (4, 4, 8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "latent_channels": 4,
}
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    AutoencoderKL(**TINY).save_pretrained(tmp_path / "vae")
    return tmp_path / "vae"


def fails(folder: Path | str) -> str:
    with pytest.raises(CheckpointError, match=f"^vae.pretrained: {re.escape(str(folder))}: ") as caught:
        load_vae(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_latents_are_the_posteriors_mean_times_the_factor(folder: Path) -> None:
    guide = Guide(torch.nn.Identity(), path=linear, image_size=32, vae=load_vae(str(folder)), scaling_factor=0.5)
    images = torch.rand(2, 3, 32, 32)
    reference = AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False)
    with torch.no_grad():
        expected = reference.encode(images * 2 - 1).latent_dist.mean * 0.5
    x0 = guide.encode(images)
    assert x0.shape == (2, *guide.latent_shape) == (2, 4, 4, 4)
    torch.testing.assert_close(x0, expected, rtol=0, atol=1e-6)
    assert torch.equal(guide.encode(images), x0)  # nothing is sampled


def test_frozen_in_eval_mode_and_without_its_decoder(folder: Path) -> None:
    loaded = load_vae(str(folder))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not any(module.training for module in loaded.modules())
    assert {name.split(".")[0] for name, _ in loaded.named_parameters()} == {"encoder", "quant_conv"}


def test_half_precision_folders_are_loaded_in_float32(folder: Path) -> None:
    save_file({name: value.half() for name, value in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    assert {parameter.dtype for parameter in load_vae(str(folder)).parameters()} == {torch.float32}


def test_attention_under_its_old_names(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)  # the published weights call the same tensors query, key, value, proj_attn
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        weights = {name.replace(new, old): value for name, value in weights.items()}
    expected = load_vae(str(folder)).state_dict()
    save_file(weights, folder / WEIGHTS)
    loaded = load_vae(str(folder)).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_missing_weights_are_refused(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["encoder.conv_in.bias"]
    save_file(weights, folder / WEIGHTS)
    assert fails(folder).endswith("does not fit the model: 1 missing: encoder.conv_in.bias")


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    save_file({**load_file(folder / WEIGHTS), "encoder.conv_in.weight": torch.zeros(5, 3, 3, 3)}, folder / WEIGHTS)
    assert fails(folder).endswith("1 of another shape: encoder.conv_in.weight (5, 3, 3, 3) for (4, 3, 3, 3)")


def test_truncated_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:2000])
    assert WEIGHTS in fails(folder)


def test_folders_that_hold_no_vae(tmp_path: Path) -> None:
    assert "a folder without weights" in fails(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / WEIGHTS)
    assert "not a folder in diffusers' format (no config.json)" in fails(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 3}))
    assert "not a folder in diffusers' format" in fails(tmp_path)


def test_neither_folder_nor_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo: str, filename: str) -> str:
        raise OSError("no route\nto the hub")

    monkeypatch.setattr("dusa_ignite.models.weights.places.hf_hub_download", download)
    with pytest.raises(CheckpointError) as caught:
        load_vae("owner/name")
    assert str(caught.value) == (
        "vae.pretrained: owner/name: neither a folder, nor in the local cache, nor could it be downloaded (OSError); "
        "offline, fetch the repository elsewhere and give its folder"
    )


@pytest.mark.parametrize("change", [{"latent_channels": 8}, {"block_out_channels": (4, 8, 8)}])
def test_other_latents_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    blocks = len(change.get("block_out_channels", TINY["block_out_channels"]))
    types = {"down_block_types": ("DownEncoderBlock2D",) * blocks, "up_block_types": ("UpDecoderBlock2D",) * blocks}
    AutoencoderKL(**{**TINY, **types, **change}).save_pretrained(tmp_path)
    assert "latents must have 4 channels at 1/8 of the image's side" in fails(tmp_path)


def test_random_is_the_published_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        full = AutoencoderKL(**vae.SD_VAE)
    assert sum(parameter.numel() for parameter in full.parameters()) == 83_653_863  # as published
    monkeypatch.setattr(vae, "SD_VAE", {**vae.SD_VAE, "block_out_channels": (32,) * 4, "layers_per_block": 1})
    assert load_vae("random").encode(torch.zeros(1, 3, 32, 32)).latent_dist.mean.shape == (1, 4, 4, 4)
