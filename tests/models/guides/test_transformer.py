"""The transformer against the original implementations' outputs, its sizes, and its checkpoints' errors."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.files import split_golden

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models import DiffusionTransformer, load_transformer
from dusa_ignite.models.guides.families import find_family
from dusa_ignite.models.guides.transformer import sincos_positions
from dusa_ignite.models.guides.variants import VARIANTS

FAMILIES = ("repa", "sit", "dit")
SMALL: dict[str, Any] = {"num_classes": 10, "latent_size": 8, "patch_size": 2, "hidden_size": 32, "depth": 1}
SMALL["num_heads"] = 2


def write_golden(family: str, folder: Path, **changes: torch.Tensor | None) -> tuple[str, dict[str, Any]]:
    """A golden checkpoint as a file, with some entries replaced or (``None``) left out; and its sizes."""
    weights, _, sizes = split_golden(f"{family}_tiny")
    weights = {key: value for key, value in {**weights, **changes}.items() if value is not None}
    path = folder / f"{family}.safetensors"
    save_file(weights, path)
    return str(path), sizes


def load_golden_model(family: str, folder: Path) -> DiffusionTransformer:
    path, sizes = write_golden(family, folder)
    return load_transformer(path, family=family, **sizes)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_outputs_of_the_original_implementations(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    _, golden, _ = split_golden(f"{family}_tiny")
    model = load_golden_model(family, tmp_path).to(dtype)
    with torch.no_grad():
        output = model(golden["x"].to(dtype), golden["t"].to(dtype), golden["y"])
    expected = golden["output"][:, :4]  # the learned variance, if any, is dropped
    assert output.shape == (4, 4, 8, 8)
    assert output.dtype == dtype
    assert (output - expected).abs().max() <= 1e-5 * expected.abs().max()
    if dtype is torch.float64 and family != "dit":
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-8)


def test_the_golden_inputs_hold_the_unconditional_class() -> None:
    assert split_golden("sit_tiny")[1]["y"].tolist() == [8, 2, 10, 0]  # of 10 classes


@pytest.mark.parametrize("wrap", ["ema", "model", "state_dict", "ema before model"])
def test_nested_training_checkpoints(wrap: str, tmp_path: Path) -> None:
    weights, golden, sizes = split_golden("repa_tiny")
    arguments = argparse.Namespace(lr=1e-4, model="SiT-XL/2", resume=None)
    content = {
        "ema": {"ema": weights, "args": arguments, "steps": 7},
        "model": {"model": weights, "opt": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "args": arguments},
        "state_dict": {"state_dict": {f"module.{key}": value for key, value in weights.items()}, "args": arguments},
        "ema before model": {
            "model": {key: torch.zeros_like(value) for key, value in weights.items()},
            "ema": weights,
            "args": arguments,
        },
    }[wrap]
    torch.save(content, tmp_path / "last.pt")
    model = load_transformer(str(tmp_path / "last.pt"), family="repa", **sizes).double()
    output = model(golden["x"].double(), golden["t"].double(), golden["y"])
    torch.testing.assert_close(output, golden["output"], rtol=0, atol=1e-8)


def test_fixed_positions_are_those_of_the_originals() -> None:
    for family in FAMILIES:
        weights, _, _ = split_golden(f"{family}_tiny")
        torch.testing.assert_close(sincos_positions(4, 64)[None], weights["pos_embed"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_and_trainable_parameters(family: str) -> None:
    model = load_transformer("random", family=family, **SMALL)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"pos_embed", "y_embedder.embedding_table.weight"}
    assert not any(module.training for module in model.modules())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_random_weights_are_the_published_initialisation() -> None:
    torch.manual_seed(0)
    model = load_transformer("random", family="sit", **SMALL)
    for zero in (model.final_layer.linear, model.final_layer.adaLN_modulation[1], model.blocks[0].adaLN_modulation[1]):
        assert zero.weight.abs().max() == 0  # type: ignore[union-attr]
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(model(x, torch.rand(2), torch.tensor([0, 10])), torch.zeros(2, 4, 8, 8))
    table = model.y_embedder.embedding_table.weight
    assert table.shape == (11, 32)
    assert table.std().item() == pytest.approx(0.02, rel=0.2)
    bound = (6 / (32 + 3 * 32)) ** 0.5  # Xavier: uniform in +- sqrt(6 / (inputs + outputs))
    assert model.blocks[0].attn.qkv.weight.abs().max().item() == pytest.approx(bound, rel=0.01)


@pytest.mark.parametrize(
    ("variant", "family", "latent_size", "count"),
    [  # totals of the papers' architectures, positions and label table included
        ("DiT-S/2", "dit", 32, 32_963_360),
        ("SiT-XL/2", "sit", 32, 675_129_632),
        ("SiT-XL/2", "repa", 32, 675_111_184),  # 16 outputs fewer per patch: 16 * (1152 + 1)
    ],
)
def test_sizes_of_the_variants(variant: str, family: str, latent_size: int, count: int) -> None:
    patch, hidden, depth, heads = VARIANTS[variant]
    with torch.device("meta"):
        model = DiffusionTransformer(
            latent_size=latent_size,
            in_channels=4,
            patch_size=patch,
            hidden_size=hidden,
            depth=depth,
            num_heads=heads,
            num_classes=1000,
            learn_sigma=find_family(family).learns_sigma,
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_variants_are_four_sizes_and_three_patches_of_two_names() -> None:
    assert len(VARIANTS) == 24
    assert VARIANTS["SiT-XL/2"] == VARIANTS["DiT-XL/2"] == (2, 1152, 28, 16)
    assert VARIANTS["SiT-S/8"] == (8, 384, 12, 6)
    assert VARIANTS["DiT-B/4"] == (4, 768, 12, 12)
    assert VARIANTS["DiT-L/2"] == (2, 1024, 24, 16)


def test_explicit_sizes_override_a_variant() -> None:
    model = load_transformer(
        "random", family="dit", num_classes=3, latent_size=8, variant="DiT-S/2", depth=1, hidden_size=24, patch_size=4
    )
    assert (len(model.blocks), model.patch_size, model.blocks[0].attn.num_heads) == (1, 4, 6)
    assert model.x_embedder.proj.weight.shape == (24, 4, 4, 4)
    assert model(torch.zeros(1, 4, 8, 8), torch.zeros(1), torch.zeros(1, dtype=torch.int64)).shape == (1, 4, 8, 8)


def test_unpatchify_puts_pixels_back() -> None:
    model = load_transformer("random", family="repa", in_channels=1, **{**SMALL, "latent_size": 4})
    patches = torch.arange(16.0).reshape(1, 4, 4)  # four patches of 2 x 2, row by row
    expected = torch.tensor([[0.0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])
    assert torch.equal(model.unpatchify(patches)[0, 0], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "unet"}, "'unet' is not allowed; allowed: repa | sit | dit, or path/to/file.py:NAME"),
        ({"variant": "SiT-H/2"}, "unknown variant 'SiT-H/2'"),
        ({"depth": None}, "give a variant, or all of patch_size"),
        ({"latent_size": 9}, "patch_size must divide latent_size 9"),
        ({"num_heads": 3}, "num_heads and 4 hidden_size"),
    ],
)
def test_impossible_sizes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_transformer("random", **{"family": "sit", **SMALL, **change})


def fails(path: str, *, family: str, sizes: dict[str, Any]) -> str:
    """The message of the expected error, which names the file and the key."""
    with pytest.raises(CheckpointError) as caught:
        load_transformer(path, family=family, **sizes)
    message = str(caught.value)
    assert message.startswith(f"transformer.checkpoint: {path}: ")
    assert "\n" not in message
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in fails(str(tmp_path / "none.pt"), family="repa", sizes=SMALL)


def test_truncated_safetensors(tmp_path: Path) -> None:
    path, sizes = write_golden("repa", tmp_path)
    Path(path).write_bytes(Path(path).read_bytes()[:1000])
    assert "damaged, or not a checkpoint" in fails(path, family="repa", sizes=sizes)


def test_truncated_pickle(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save({"ema": {"weight": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "damaged, or not a checkpoint" in fails(str(path), family="repa", sizes=SMALL)


@pytest.mark.parametrize("content", [b"hello world", b"garbage", b"\x00" * 64, b"My"])
def test_garbage(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    assert "damaged, or not a checkpoint" in fails(str(path), family="repa", sizes=SMALL)


class Malicious:
    """Unpickled by a trusting loader, it would make a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_malicious_pickles_are_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "last.pt", tmp_path / "executed"
    torch.save({"ema": {"weight": torch.zeros(1)}, "args": Malicious(trace)}, path)
    assert "holds Python objects other than tensors (getattr)" in fails(str(path), family="repa", sizes=SMALL)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # it would have been


@pytest.mark.parametrize("content", [[1, 2], {"ema": {"weight": "text"}}, {"steps": 3}, torch.zeros(3)])
def test_files_without_weights(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save(content, path)
    assert "holds no mapping of parameter names to tensors" in fails(str(path), family="repa", sizes=SMALL)


@pytest.mark.parametrize(
    ("stored", "asked", "option"),
    [("dit", "repa", "transformer.family=sit or dit"), ("repa", "sit", "transformer.family=repa")],
)
def test_wrong_family(stored: str, asked: str, option: str, tmp_path: Path) -> None:
    path, sizes = write_golden(stored, tmp_path)
    message = fails(path, family=asked, sizes=sizes)
    assert message.endswith(
        f"made for other sizes than the config's (10 classes, 4 x 4 tokens of 64, 2 blocks); set {option}"
    )


def test_wrong_number_of_classes(tmp_path: Path) -> None:
    path, sizes = write_golden("sit", tmp_path)
    message = fails(path, family="sit", sizes={**sizes, "num_classes": 1000})
    assert message.endswith("(1000 classes, 4 x 4 tokens of 64, 2 blocks); set transformer.num_classes=10")


def test_missing_and_unexpected_names(tmp_path: Path) -> None:
    path, sizes = write_golden("sit", tmp_path, **{"pos_embed": None, "extra.weight": torch.zeros(2)})
    message = fails(path, family="sit", sizes=sizes)
    assert message.endswith("does not fit the model: 1 missing: pos_embed; 1 unexpected: extra.weight")


def test_projectors_are_dropped_for_repa_alone(tmp_path: Path) -> None:
    assert any(name.startswith("projectors.") for name in split_golden("repa_tiny")[0])
    assert not any("projectors" in name for name in load_golden_model("repa", tmp_path).state_dict())
    for family in ("sit", "dit"):
        path, sizes = write_golden(family, tmp_path, **{"projectors.0.0.bias": torch.zeros(2)})
        assert "1 unexpected: projectors.0.0.bias" in fails(path, family=family, sizes=sizes)
    path, sizes = write_golden("repa", tmp_path, **{"projector.bias": torch.zeros(2)})
    assert "1 unexpected: projector.bias" in fails(path, family="repa", sizes=sizes)


def test_a_checkpoint_may_be_a_path(tmp_path: Path) -> None:
    saved = load_transformer("random", family="repa", **SMALL).state_dict()
    save_file(saved, tmp_path / "last.safetensors")
    loaded = load_transformer(tmp_path / "last.safetensors", family="repa", **SMALL).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in saved.items())
    with pytest.raises(CheckpointError, match=r"transformer\.checkpoint: .*none\.pt: no such file"):
        load_transformer(tmp_path / "none.pt", family="repa", **SMALL)
