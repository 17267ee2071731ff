"""Reading weights: where they come from, how they are unwrapped, what strict means."""

from __future__ import annotations

import argparse
import hashlib
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights import load_strict, load_weights, save_weights, weights_sha256
from dusa_ignite.models.weights.places import locate

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([7.0, 8.0])}
ZEROS = {name: torch.zeros_like(value) for name, value in WEIGHTS.items()}


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in WEIGHTS.items()}


def assert_weights(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"ema": WEIGHTS, "state_dict": ZEROS, "model": ZEROS},
        {"state_dict_ema": WEIGHTS, "model": ZEROS},
        {"model": WEIGHTS, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        {"model": {"state_dict": WEIGHTS}},
        {"state_dict": prefixed("module.")},
        prefixed("_orig_mod."),
        prefixed("module._orig_mod."),
    ],
)
def test_pickles_flat_and_nested(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    assert_weights(load_weights(str(tmp_path / "weights.pth"), key="k"))


def test_safetensors(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "weights.safetensors")
    assert_weights(load_weights(str(tmp_path / "weights.safetensors"), key="k"))


def test_a_prefix_that_not_all_names_share_stays(tmp_path: Path) -> None:
    torch.save({**prefixed("module."), "other": torch.zeros(1)}, tmp_path / "weights.pt")
    assert set(load_weights(str(tmp_path / "weights.pt"), key="k")) == {"module.a.weight", "module.a.bias", "other"}


def test_a_parameter_may_be_called_like_a_nested_key(tmp_path: Path) -> None:
    torch.save({"model": torch.ones(2)}, tmp_path / "weights.pt")
    assert torch.equal(load_weights(str(tmp_path / "weights.pt"), key="k")["model"], torch.ones(2))


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "weights.pt").touch()
    assert locate("~/weights.pt", key="k").files == (tmp_path / "weights.pt",)


def test_embedded_weights_ship_with_the_package() -> None:
    (path,) = locate("embedded", key="k", embedded="classifier").files
    assert path.parts[-4:] == ("dusa_ignite", "assets", "digits", "classifier.safetensors")
    with pytest.raises(CheckpointError, match=r"k: embedded: no such file"):
        locate("embedded", key="k")


def test_hub_files_are_asked_for_by_repository_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo: str, filename: str) -> str:
        asked.append((repo, filename))
        return str(tmp_path / "weights.pt")

    monkeypatch.setattr("dusa_ignite.models.weights.places.hf_hub_download", download)
    torch.save(WEIGHTS, tmp_path / "weights.pt")
    assert_weights(load_weights("hub:owner/name:folder/weights.pt", key="k"))
    assert asked == [("owner/name", "folder/weights.pt")]


def test_offline_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo: str, filename: str) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("dusa_ignite.models.weights.places.hf_hub_download", download)
    with pytest.raises(CheckpointError) as caught:
        load_weights("hub:owner/name:weights.pt", key="transformer.checkpoint")
    assert str(caught.value) == (
        "transformer.checkpoint: hub:owner/name:weights.pt: not in the local cache and could not be downloaded "
        "(ConnectionError); offline, fetch the file elsewhere and give its path"
    )


@pytest.mark.parametrize("kind", ["text", "truncated", "safetensors"])
def test_damaged_files(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pt")
    save_file(WEIGHTS, path) if kind == "safetensors" else torch.save(WEIGHTS, path)
    path.write_bytes(b"hello garbage" if kind == "text" else path.read_bytes()[:-20])
    with pytest.raises(CheckpointError) as caught:
        load_weights(path, key="k")
    message = f"k: {path}: damaged, or not a checkpoint; fetch it again, or give another file"
    why = " (the directory at its end is cut off or damaged)" if kind == "truncated" else ""
    assert str(caught.value) == message + why


@pytest.mark.parametrize("how", ["torch", "old torch"])
def test_python_objects_are_not_read(how: str, tmp_path: Path) -> None:
    path, content = tmp_path / "weights.pt", {"weight": Fraction(1, 2)}
    torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(CheckpointError) as caught:
        load_weights(path, key="k")
    assert str(caught.value) == (
        f"k: {path}: holds Python objects other than tensors (fractions.Fraction); save its state_dict alone and give "
        "that file"
    )


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_saved_weights_follow_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save_weights(WEIGHTS, tmp_path / "weights.safetensors")
        save_weights(WEIGHTS, tmp_path / "weights.safetensors")  # replaces the first
    finally:
        os.umask(before)
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("weights.safetensors", mode)]
    assert_weights(load_weights(tmp_path / "weights.safetensors", key="k"))


@pytest.mark.parametrize("checkpoint", ["hub:owner/name", "hub:a:b:c"])
def test_malformed_hub_names(checkpoint: str) -> None:
    with pytest.raises(CheckpointError, match=rf"k: {checkpoint}: write hub:<owner>/<repo>:<file>"):
        load_weights(checkpoint, key="k")


def test_strict_loading_lists_what_differs_and_loads_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(3), **{f"x{i}": torch.ones(1) for i in range(4)}}
    with pytest.raises(CheckpointError) as caught:
        load_strict(model, weights, source="key: file.pt")
    assert str(caught.value) == (
        "key: file.pt: does not fit the model: 2 missing: 1.weight, 1.bias; 4 unexpected: x0, x1, x2, ...; "
        "1 of another shape: 0.bias (3,) for (2,)"
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_strict_loading_converts_to_the_models_dtype() -> None:
    model = nn.Linear(3, 2)
    load_strict(model, {"weight": WEIGHTS["a.weight"].half(), "bias": WEIGHTS["a.bias"].double()}, source="s")
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, WEIGHTS["a.weight"])


def test_sha256_is_over_names_types_shapes_and_values() -> None:
    model = nn.Linear(2, 1)
    load_strict(model, {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}, source="s")
    bias, weight = b"\x00\x00\x40\x40", b"\x00\x00\x80\x3f\x00\x00\x00\x40"  # little-endian 3.0; 1.0, 2.0
    text = b"bias torch.float32 (1,)" + bias + b"weight torch.float32 (1, 2)" + weight
    assert weights_sha256(model) == hashlib.sha256(text).hexdigest()
    assert weights_sha256(model.double()) != hashlib.sha256(text).hexdigest()


def test_sha256_reads_every_kind_of_buffer() -> None:
    norm = nn.BatchNorm1d(2)  # num_batches_tracked is an int64 scalar
    first = weights_sha256(norm)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    assert weights_sha256(norm) != first
    assert weights_sha256(norm.bfloat16()) != first
