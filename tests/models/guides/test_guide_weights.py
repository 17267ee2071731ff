"""Guides in nested and prefixed files, and what is said of one that has other sizes than the config's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from support.files import split_golden

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models import load_transformer, load_vae
from dusa_ignite.models.guides.sizes import GuideSizes, guide_sizes

SMALL: dict[str, Any] = {"num_classes": 10, "latent_size": 8, "patch_size": 2, "hidden_size": 32, "depth": 1}
SMALL["num_heads"] = 2
Weights = dict[str, torch.Tensor]


def prefixed(weights: Weights, prefix: str) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


FORMS: dict[str, Callable[[Weights], Any]] = {
    "EMA beside the raw weights": lambda w: {"ema": w, "model": {n: 0 * v for n, v in w.items()}, "opt": {}},
    "DDP's prefix within": lambda w: {"model": prefixed(w, "module."), "opt": {"state": {0: {"step": torch.ones(())}}}},
    "three deep": lambda w: {"trainer": {"net": {"state_dict": prefixed(w, "_orig_mod.module.")}}, "epoch": 1},
    "Lightning with its average": lambda w: {
        "state_dict": prefixed(w, "ema_model.") | {n: 0 * v for n, v in prefixed(w, "model.").items()}
    },
    "a list": lambda w: [w, 17],
    "half precision": lambda w: {"ema": {n: v.half() for n, v in w.items()}},
    "float64": lambda w: {"model_state_dict": {n: v.double() for n, v in w.items()}},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_one_guide(form: str, tmp_path: Path) -> None:
    weights, _, sizes = split_golden("repa_tiny")  # with projectors, which the family drops
    weights = {name: value.half().float() for name, value in weights.items()}
    torch.save(FORMS[form](weights), tmp_path / "last.pt")
    loaded = load_transformer(tmp_path / "last.pt", family="repa", **sizes).state_dict()
    kept = {name: value for name, value in weights.items() if not name.startswith("projectors.")}
    assert loaded.keys() == kept.keys() != weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in kept.items())


def test_sizes_are_read_off_the_shapes() -> None:
    model = load_transformer("random", family="sit", **SMALL)
    assert guide_sizes(model.state_dict()) == GuideSizes(8, 4, 2, 32, 1, 10, True)
    assert guide_sizes(model.state_dict()).image_size == 64  # type: ignore[union-attr]
    pixels = load_transformer("random", family="repa", in_channels=3, **SMALL)
    assert guide_sizes(pixels.state_dict()) == GuideSizes(8, 3, 2, 32, 1, 10, False)
    assert guide_sizes({"pos_embed": torch.zeros(1)}) is None
    assert guide_sizes({**model.state_dict(), "pos_embed": torch.zeros(1, 15, 32)}) is None


OTHERS = [
    ({"latent_size": 16}, "transformer.image_size=128"),
    ({"num_classes": 7}, "transformer.num_classes=7"),
    ({"family": "sit"}, "transformer.family=sit or dit"),
    (
        {"hidden_size": 64, "depth": 2, "num_classes": 3},
        "transformer.variant=null transformer.patch_size=2 transformer.hidden_size=64 transformer.depth=2 "
        "transformer.num_heads=(as trained; the file does not say) transformer.num_classes=3",
    ),
    (
        {"variant": "SiT-S/8", "hidden_size": None, "depth": None, "num_heads": None, "patch_size": None},
        "transformer.variant=SiT-S/8",
    ),
    ({"in_channels": 3}, "vae.pretrained=null transformer.image_size=8"),
]


@pytest.mark.parametrize(("change", "options"), OTHERS)
def test_a_guide_of_other_sizes(change: dict[str, Any], options: str, tmp_path: Path) -> None:
    stored = load_transformer("random", **{"family": "repa", **SMALL, **change}).state_dict()
    torch.save({"ema": prefixed(stored, "module.")}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError) as caught:
        load_transformer(tmp_path / "last.pt", family="repa", **SMALL)
    assert str(caught.value) == (
        f"transformer.checkpoint: {tmp_path}/last.pt: made for other sizes than the config's (10 classes, 4 x 4 tokens "
        f"of 32, 1 blocks); set {options}"
    )


def test_what_sizes_do_not_explain_stays_a_list_of_names(tmp_path: Path) -> None:
    stored = load_transformer("random", family="repa", **{**SMALL, "num_classes": 7}).state_dict()
    torch.save({**stored, "extra": torch.zeros(1)}, tmp_path / "last.pt")
    with pytest.raises(
        CheckpointError, match=r"does not fit the model: 1 unexpected: extra; 1 of another shape: y_emb"
    ):
        load_transformer(tmp_path / "last.pt", family="repa", **SMALL)


def test_a_vae_is_read_by_the_same_reader(tmp_path: Path) -> None:
    torch.manual_seed(0)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=2,
    ).save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    expected = load_vae(str(tmp_path)).state_dict()
    file.unlink()
    torch.save({"state_dict": prefixed(weights, "module."), "state_dict_ema": weights}, tmp_path / "vae.bin")
    loaded = load_vae(f"local-dir:{tmp_path}").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    weights["encoder.conv_in.bias"][0] = float("nan")
    (tmp_path / "vae.bin").unlink()
    save_file(weights, file)
    with pytest.raises(CheckpointError) as caught:
        load_vae(str(tmp_path))
    assert str(caught.value).startswith(
        f"vae.pretrained: {tmp_path}: {file.name}: encoder.conv_in.bias holds 1 values of 4 that are NaN or infinite"
    )
    with pytest.raises(CheckpointError, match="a file; give its folder, in diffusers' format"):
        load_vae(str(file))
