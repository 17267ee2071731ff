"""What ``inspect`` says of weights, and that the config lines it prints use them."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from support.files import split_golden
from support.weight_files import (
    CLASSES,
    NAME,
    OPTIONS,
    prefixed,
    ten_ways,
    timm_config,
    timm_weights,
    write_folder,
    zeros,
)

from dusa_ignite.commands.inspect import main
from dusa_ignite.errors import CheckpointError
from dusa_ignite.models import build_classifier, load_transformer
from dusa_ignite.models.inspect_weights import inspect_weights

WEIGHTS = timm_weights()
DIGITS = Path(__file__).parents[2] / "dusa_ignite" / "assets" / "digits"


def config_of(lines: list[str]) -> dict[str, Any]:
    return yaml.safe_load("\n".join(lines))


def test_a_timm_folder(tmp_path: Path) -> None:
    names = ["cat", "dog", "eel", "fox", "gnu"]
    write_folder(prefixed(WEIGHTS, "timm_model."), timm_config(label_names=names))(tmp_path)
    report = inspect_weights(tmp_path)
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert report.as_dict() == {
        "path": str(tmp_path),
        "kind": "classifier",
        "architecture": NAME,
        "family": None,
        "variant": None,
        "sizes": {},
        "num_classes": CLASSES,
        "averaged": False,
        "nesting": [],
        "prefix": "timm_model.",
        "dtypes": {"float32": sum(value.numel() for value in WEIGHTS.values())},
        "parameters": sum(value.numel() for value in WEIGHTS.values()),
        "names": sorted(WEIGHTS)[:5],
        "library": None,
        "view": {
            "image_size": 32,
            "crop_pct": 0.9,
            "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
        "class_names": names,
        "sources": dict.fromkeys(
            ["image_size", "crop_pct", "interpolation", "mean", "std", "architecture", "num_classes", "class_names"],
            "config.json",
        ),
        "files": [
            {"name": "model.safetensors", "bytes": (tmp_path / "model.safetensors").stat().st_size, "sha256": digest}
        ],
        "problem": None,
        "config": ["classifier:", f"  name: local-dir:{tmp_path}", f"  num_classes: {CLASSES}"],
    }
    classifier = build_classifier(**config_of(report.config)["classifier"], pretrained=True)
    assert torch.equal(classifier.backbone.head.weight, WEIGHTS["head.weight"])


def test_a_training_checkpoint_of_timm(tmp_path: Path) -> None:
    arguments = argparse.Namespace(model="resnet18", num_classes=3, mean=[0.1, 0.2, 0.3], crop_pct=0.95, img_size=64)
    weights = build_classifier("resnet18", num_classes=3).backbone.state_dict()
    content = {"arch": "resnet18", "state_dict": zeros(weights), "state_dict_ema": weights, "args": arguments}
    torch.save(content, tmp_path / "last.pth.tar")
    report = inspect_weights(tmp_path / "last.pth.tar")
    assert (report.kind, report.architecture, report.averaged) == ("classifier", "resnet18", True)
    assert report.nesting == ["state_dict_ema"]
    assert report.view == {"image_size": 64, "crop_pct": 0.95, "mean": [0.1, 0.2, 0.3]}
    assert set(report.sources.values()) == {"the checkpoint's args"}
    assert config_of(report.config) == {
        "classifier": {
            "name": "resnet18",
            "checkpoint": f"{tmp_path}/last.pth.tar",
            "num_classes": 3,
            "image_size": 64,
        }
    }
    build_classifier(**config_of(report.config)["classifier"])
    (tmp_path / "args.yaml").write_text("crop_pct: 0.8\nmodel: resnet18\nstd: [1, 1, 1]\nmean: null\n")
    assert inspect_weights(tmp_path / "last.pth.tar").view["crop_pct"] == 0.8
    assert inspect_weights(tmp_path / "last.pth.tar").view["std"] == [1, 1, 1]


def test_names_in_a_tuple_and_what_is_no_name(tmp_path: Path) -> None:
    view = {"mean": [0.1, 0.2, 0.3], "model": "resnet18"}
    weights = build_classifier("resnet18", num_classes=3).backbone.state_dict()
    torch.save({"state_dict": weights, "args": {**view, "classes": ("a", "b", "c")}}, tmp_path / "names.pt")
    assert inspect_weights(tmp_path / "names.pt").class_names == ["a", "b", "c"]
    torch.save({"state_dict": weights, "args": {**view, "classes": [0, 1, 2]}}, tmp_path / "numbers.pt")
    report = inspect_weights(tmp_path / "numbers.pt")
    assert (report.class_names, report.view) == ([], {"mean": [0.1, 0.2, 0.3]})


def test_timms_config_without_a_pretrained_cfg(tmp_path: Path) -> None:
    view = {"input_size": [3, 32, 32], "mean": [0.2] * 3, "std": [0.4] * 3}
    write_folder(WEIGHTS, {"architecture": NAME, "num_classes": CLASSES, **view})(tmp_path)
    assert inspect_weights(tmp_path).view == {"image_size": 32, "mean": [0.2] * 3, "std": [0.4] * 3}


def test_hugging_faces_class_names(tmp_path: Path) -> None:
    labels = {"id2label": {"1": "dog", "0": "cat"}, "label2id": {"cat": 0, "dog": 1}}
    config = {"architectures": ["ViTForImageClassification"], "image_size": 32, **labels}
    write_folder({"vit.embeddings.cls_token": torch.zeros(1)}, config)(tmp_path)
    report = inspect_weights(tmp_path)
    assert (report.kind, report.library, report.config) == ("unknown", "transformers", [])
    assert report.class_names == ["cat", "dog"]
    assert report.names == ["vit.embeddings.cls_token"]


def test_metadata_in_a_safetensors_file(tmp_path: Path) -> None:
    written = {"architecture": NAME, "model_args": json.dumps(OPTIONS), "mean": "[0.5, 0.5, 0.5]", "image_size": "32"}
    save_file(WEIGHTS, tmp_path / "a.safetensors", metadata={**written, "class_names": json.dumps(list("abcde"))})
    report = inspect_weights(tmp_path / "a.safetensors")
    assert report.view == {"image_size": 32, "mean": [0.5, 0.5, 0.5]}
    assert report.class_names == list("abcde")
    assert set(report.sources.values()) == {"the file's metadata"}


def test_a_guide(tmp_path: Path) -> None:
    weights, _, sizes = split_golden("sit_tiny")
    torch.save({"ema": prefixed(weights, "module."), "model": zeros(weights)}, tmp_path / "a guide.pt")
    report = inspect_weights(tmp_path / "a guide.pt")
    assert (report.kind, report.family, report.variant, report.num_classes) == ("guide", "sit or dit", None, 10)
    assert report.sizes == {"image_size": 64, "patch_size": 2, "hidden_size": 64, "depth": 2}
    assert (report.averaged, report.nesting, report.prefix) == (True, ["ema"], "module.")
    options = config_of(report.config)["transformer"]
    assert options.pop("num_heads") == "???"
    assert options.pop("image_size") == 8 * sizes["latent_size"]
    load_transformer(options.pop("checkpoint"), latent_size=8, num_heads=sizes["num_heads"], **options)


def test_a_published_variant_is_named(tmp_path: Path) -> None:
    model = load_transformer("random", family="repa", variant="SiT-S/8", num_classes=2, latent_size=16)
    save_file(model.state_dict(), tmp_path / "a.safetensors")
    report = inspect_weights(tmp_path / "a.safetensors")
    assert report.variant == "SiT-S/8"
    assert report.config[:3] == ["transformer:", "  family: repa", "  variant: SiT-S/8"]


def test_unusable_weights_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a.weight": torch.tensor([1.0, float("nan")])}, tmp_path / "a.pt")
    assert main([str(tmp_path / "a.pt")]) == 2
    assert "problem      a.weight holds 1 values of 2 that are NaN or infinite" in capsys.readouterr().out
    torch.save({"state_dict": WEIGHTS, "net": zeros(WEIGHTS)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a\.pt: holds 2 sets of weights \(state_dict; net\); save one"):
        inspect_weights(tmp_path / "a.pt")


def test_the_command_prints_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    path = DIGITS / "transformer.safetensors"
    assert main([str(path)], prog="dusa-ignite inspect") == 0
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert capsys.readouterr().out == (
        f"""\
weights     {path}
what        guide, no published variant, family repa
sizes       image_size 8, patch_size 2, hidden_size 96, depth 4
classes     10
averaged    no
nesting     none
prefix      none
parameters  726,924 (float32 726,924)
file        transformer.safetensors, 2.8 MiB, sha256 {digest}

transformer:
  family: repa
  variant: null
  patch_size: 2
  hidden_size: 96
  depth: 4
  num_heads: ???  # as trained; the file does not say
  checkpoint: {path}
  num_classes: 10
  image_size: 8
vae:
  pretrained: null
"""
    )


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ten_ways()["Lightning"](tmp_path)
    assert main([str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["nesting"], report["prefix"], report["num_classes"]) == (["state_dict"], "model.", CLASSES)


def test_the_command_names_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pth").write_bytes(b"<html>")
    assert main([str(tmp_path / "a.pth")]) == 2
    assert capsys.readouterr().err.startswith(f"error: inspect: {tmp_path}/a.pth: a web page, not weights")
