"""One classifier saved in ten ways gives the same logits; other files are told what they are."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from support.files import ROOT
from support.weight_files import (
    CLASSES,
    NAME,
    OPTIONS,
    prefixed,
    ten_ways,
    timm_config,
    timm_model,
    timm_weights,
    torchvision_model,
    write_folder,
    zeros,
)

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.models import build_classifier
from dusa_ignite.models.weights import kinds as kinds_module
from dusa_ignite.models.weights import load_strict, load_weights, read
from dusa_ignite.utils.memory import free_memory

WEIGHTS = timm_weights()
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
TOOK = {
    "timm": "took 32 tensors",
    "timm train": "took 32 tensors of state_dict",
    "EMA": "took 32 tensors of state_dict_ema (averaged)",
    "DDP": "took 32 tensors of model, names that begin with module.",
    "compiled": "took 32 tensors of names that begin with module._orig_mod.",
    "Lightning": "took 32 tensors of state_dict, names that begin with model.",
    "HF folder": "took 32 tensors of names that begin with timm_model.",
    "timm local-dir": "took 32 tensors",
    "half precision": "took 32 tensors, converted from float16",
    "torchvision": "took 32 tensors, torchvision's names translated to timm's",
}


def classifier_of(path: Path | str) -> Any:
    return build_classifier(NAME, num_classes=CLASSES, checkpoint=str(path), image_size=32, options=OPTIONS)


def refused(path: Path | str) -> str:
    """The one line that says why, without the file's name."""
    with pytest.raises(CheckpointError) as caught:
        classifier_of(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"classifier.checkpoint: {path}: ")
    return line.removeprefix(f"classifier.checkpoint: {path}: ")


@pytest.mark.parametrize("way", ten_ways())
def test_ten_ways_to_save_one_classifier(way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with torch.no_grad():
        expected = torchvision_model()(IMAGES)
        own = timm_model(WEIGHTS)(IMAGES)
    path = ten_ways()[way](tmp_path)
    with caplog.at_level(logging.INFO, logger="dusa_ignite"), torch.no_grad():
        logits = classifier_of(path).backbone(IMAGES)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)  # two libraries, two orders of summation
    assert torch.equal(logits, own)
    assert [record.getMessage() for record in caplog.records] == [f"classifier.checkpoint: {path}: {TOOK[way]}"]


def test_local_dir_as_the_classifiers_name(tmp_path: Path) -> None:
    write_folder(WEIGHTS, timm_config())(tmp_path)
    classifier = build_classifier(f"local-dir:{tmp_path}", num_classes=CLASSES, pretrained=True)
    with torch.no_grad():
        assert torch.equal(classifier.backbone(IMAGES), timm_model(WEIGHTS)(IMAGES))
    assert (classifier.image_size, classifier.crop_pct) == (32, 0.9)
    assert classifier.mean.flatten().tolist() == [0.5] * 3
    with pytest.raises(CheckpointError, match=r"its weights have 5 classes, classifier.num_classes is 7"):
        build_classifier(f"local-dir:{tmp_path}", num_classes=7)
    with pytest.raises(CheckpointError, match=r"classifier\.name: local-dir:.*none: no such folder"):
        build_classifier(f"local-dir:{tmp_path}/none")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "ViTForImageClassification"}))
    with pytest.raises(CheckpointError, match="names no architecture of timm's \\(ViTForImageClassification\\)"):
        build_classifier(f"local-dir:{tmp_path}")


def test_repositories_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repo: str, filename: str, revision: str | None = None) -> str:
        assert (repo, revision) == ("owner/name", "v2")
        if not (tmp_path / filename).is_file():
            raise LocalEntryNotFoundError("offline")
        return str(tmp_path / filename)

    monkeypatch.setattr("dusa_ignite.models.weights.places.hf_hub_download", download)
    torch.save(WEIGHTS, tmp_path / "pytorch_model.bin")
    with torch.no_grad():
        expected = timm_model(WEIGHTS)(IMAGES)
        assert torch.equal(classifier_of("hf-hub:owner/name@v2").backbone(IMAGES), expected)
        (tmp_path / "config.json").write_text(json.dumps(timm_config()))
        named = build_classifier("hf-hub:owner/name@v2", num_classes=CLASSES, pretrained=True)
        assert torch.equal(named.backbone(IMAGES), expected)
    (tmp_path / "pytorch_model.bin").unlink()
    assert refused("hf-hub:owner/name@v2").startswith(
        "neither in the local cache, nor could it be downloaded (LocalEntryNotFoundError); offline, fetch"
    )


def test_the_hubs_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "0" * 40
    repository = tmp_path / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    write_folder(WEIGHTS, timm_config())(snapshot)
    with torch.no_grad():
        for name in ("hf-hub:owner/name", "hub:owner/name:model.safetensors"):
            assert torch.equal(classifier_of(name).backbone(IMAGES), timm_model(WEIGHTS)(IMAGES))
    assert "(LocalEntryNotFoundError); offline, fetch the repository" in refused("hf-hub:owner/other")


def test_shards(tmp_path: Path) -> None:
    names = sorted(WEIGHTS)
    halves = {"a.safetensors": names[:10], "b.safetensors": names[10:]}
    for file, part in halves.items():
        save_file({f"timm_model.{name}": WEIGHTS[name] for name in part}, tmp_path / file)
    index = {"weight_map": {f"timm_model.{name}": file for file, part in halves.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with torch.no_grad():
        assert torch.equal(classifier_of(tmp_path).backbone(IMAGES), timm_model(WEIGHTS)(IMAGES))
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes())
    assert refused(tmp_path) == "two of its files hold weights of the same name; fetch them again"
    (tmp_path / "b.safetensors").unlink()
    assert refused(tmp_path) == "model.safetensors.index.json names files that are not there: b.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}))
    assert "is no list of weights files" in refused(tmp_path)


def test_folders_with_no_or_several_weights(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith("a folder without weights; give a weights file")
    torch.save(WEIGHTS, tmp_path / "last.pt")
    classifier_of(tmp_path)
    torch.save(WEIGHTS, tmp_path / "best.pt")
    assert refused(tmp_path) == "a folder with 2 weights files (best.pt, last.pt); give one of them"
    assert refused("owner/name") == (
        "no such file; give the path of a weights file, or write hf-hub:owner/name for a repository on the hub"
    )
    assert refused("a\0b") == "no such file; give the path of a weights file"
    assert refused("x" * 300) == "cannot be opened (File name too long)"


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "vgg11", "vit_b_16"])
def test_torchvisions_architectures(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, num_classes=2)
        ours = timm.create_model({"vit_b_16": "vit_base_patch16_224"}.get(name, name), num_classes=2)
    from dusa_ignite.models.weights.choose import Reading, choose

    chosen = choose([Reading(dict(theirs.state_dict()))], ours.state_dict(), where="x")
    assert chosen.naming == ("" if name == "resnet18" else "torchvision")


def test_torchvisions_convnext_and_vgg_give_the_same_logits(tmp_path: Path) -> None:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    torch.manual_seed(0)
    settings = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, 32, 1), CNBlockConfig(32, None, 1)]
    theirs = ConvNeXt(settings, layer_scale=0.5, num_classes=3).eval()
    torch.save(theirs.state_dict(), tmp_path / "convnext.pth")
    options = {"dims": (8, 16, 24, 32), "depths": (1, 2, 1, 1)}
    ours = build_classifier(
        "convnext_tiny", num_classes=3, checkpoint=str(tmp_path / "convnext.pth"), image_size=64, options=options
    )
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours.backbone(images), theirs(images), rtol=1e-5, atol=1e-5)


def test_other_libraries_names_are_told(tmp_path: Path) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.mobilenet_v2(num_classes=2)
    torch.save({name: torch.zeros(1) for name in theirs.state_dict()}, tmp_path / "a.pth")
    assert refused(tmp_path / "a.pth").startswith("the names of its weights are torchvision's (such as features.0.0.w")
    torch.save({"vit.embeddings.cls_token": torch.zeros(1)}, tmp_path / "a.pth")
    assert refused(tmp_path / "a.pth").startswith("the names of its weights are transformers's (such as vit.emb")


# What is no state dict


def torchscript(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def exported(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), path)


def tar(path: Path) -> None:
    (path.parent / "inner").write_text("x")
    with tarfile.open(path, "w") as archive:
        archive.add(path.parent / "inner", "inner")


def zipped(*names: str, content: bytes = b"x") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, content)

    return write


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


ONNX = bytes([8, 8, 0x12, 7]) + b"pytorch" + b"\x1a\x052.1.0" + b"\x00" * 50
FOREIGN = {
    "script.pt": (torchscript, "a TorchScript archive, which holds code; save torch.jit.load(FILE).state_dict()"),
    "program.pt2": (exported, "an exported program (.pt2); save torch.export.load(FILE).state_dict"),
    "graph.onnx": (content(b"anything"), "an ONNX graph; where it was exported, give a file written by torch.save("),
    "graph.bin": (content(ONNX), "an ONNX graph; "),
    "saved_model.pb": (content(b"\x08\x01tf"), "a TensorFlow graph; convert it to PyTorch"),
    "model.h5": (content(b"\x89HDF\r\n\x1a\n" + b"\x00" * 9), "an HDF5 file, of Keras or TensorFlow; "),
    "model.gguf": (content(b"GGUF\x03\x00\x00\x00"), "a GGUF file, quantised for llama.cpp; "),
    "model.zip": (zipped("a/model.pth", "a/readme"), "a zip archive; unpack it and give the file inside"),
    "model.npz": (zipped("a.npy", "b.npy"), "a NumPy archive (.npz), of JAX perhaps; "),
    "model.keras": (zipped("config.json", "model.weights.h5"), "a Keras model; "),
    "model.tar": (tar, "a tar archive; unpack it and give the file inside"),
    "model.pth.gz": (content(b"\x1f\x8b\x08\x00"), "packed by gzip; unpack it and give the file inside"),
    "page.pth": (
        content(b"\n<!DOCTYPE html><html>404"),
        "a web page, not weights: an error page, or a link to log in;",
    ),
    "lfs.safetensors": (
        content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "a pointer of git-lfs, not the weights; run `git lfs pull` where it was cloned",
    ),
    "empty.pt": (content(b""), "an empty file; fetch it again"),
    "error.pt": (content(b'{"error": "not found"}'), "a text file (JSON), not weights; "),
    "bomb.pt": (
        zipped("archive/data.pkl", content=bytes(2**29)),
        "KiB that unpack to 512.0 MiB: no checkpoint does that; not unpacked",
    ),
    "garbage.pt": (content(b"garbage"), "damaged, or not a checkpoint; fetch it again, or give another file"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_that_are_no_state_dict(name: str, tmp_path: Path) -> None:
    write, line = FOREIGN[name]
    write(tmp_path / name)
    assert line in refused(tmp_path / name)


# What is none among the values


def with_head(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], Any]:
    return lambda: WEIGHTS | {"head.weight": change(WEIGHTS["head.weight"])}


def with_nan(value: float) -> Callable[[], Any]:
    def make() -> Any:
        head = WEIGHTS["head.weight"].clone()
        head[1, :3] = value
        return WEIGHTS | {"head.weight": head}

    return make


def itself() -> Any:
    loop: dict[str, Any] = {}
    loop["model"] = loop
    return loop


VALUES = {
    "NaN": (with_nan(float("nan")), "head.weight holds 3 values of 160 that are NaN or infinite; its training went"),
    "infinite": (with_nan(float("inf")), "head.weight holds 3 values of 160 that are NaN or infinite; "),
    "too large": (
        with_head(lambda w: w.double() + 1e300),
        "converted from float64: head.weight holds 160 values of 160 that are NaN or infinite",
    ),
    "integer": (with_head(lambda w: w.long()), "head.weight is int64 where the model has floats; save the float weigh"),
    "bool": (with_head(lambda w: w > 0), "head.weight is bool where the model has floats; save the float weights"),
    "complex": (with_head(lambda w: w.to(torch.complex64)), "head.weight is complex64; weights are real numbers"),
    "sparse": (with_head(lambda w: w.to_sparse()), "head.weight is not dense (sparse_coo); save it with .to_dense()"),
    "float8": (with_head(lambda w: w.to(torch.float8_e4m3fn)), "head.weight is quantised (float8_e4m3fn); give the"),
    "meta": (with_head(lambda w: w.to("meta")), "head.weight has no values (it is on the meta device); save the model"),
    "itself": (itself, "holds a mapping that contains itself (at 'model')"),
    "numbers for names": (
        lambda: {0: torch.zeros(2)},
        "the file holds a tensor under the name '0', which is int; name",
    ),
    "no weights": (lambda: {"epoch": 3}, "holds no mapping of parameter names to tensors"),
    "two that fit": (
        lambda: {"state_dict": WEIGHTS, "net": zeros(WEIGHTS)},
        "2 readings fit the model (state_dict; net); save one of them alone, such as "
        "torch.save(torch.load(FILE, weights_only=True)['state_dict'], 'one.pt')",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_are_no_weights(name: str, tmp_path: Path) -> None:
    make, line = VALUES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about sparse and quantised tensors
        torch.save(make(), tmp_path / "weights.pt")
        assert refused(tmp_path / "weights.pt").startswith(line)


def test_quantised_tensors(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head = torch.quantize_per_tensor(WEIGHTS["head.weight"], 0.1, 0, torch.qint8)
        torch.save(WEIGHTS | {"head.weight": head}, tmp_path / "weights.pt")
        assert refused(tmp_path / "weights.pt").startswith("head.weight is quantised (qint8)")


def test_masks_of_the_model_may_be_infinite(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    weights = load_weights(tmp_path / "weights.pt", key="k", wanted=model.state_dict())
    load_strict(model, weights, source="k")


def test_counters_of_batch_norm_may_be_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = torch.nn.BatchNorm2d(3)
    torch.save({n: v for n, v in model.state_dict().items() if "num_batches" not in n}, tmp_path / "old.pth")
    with caplog.at_level(logging.INFO, logger="dusa_ignite"):
        load_strict(model, load_weights(tmp_path / "old.pth", key="k", wanted=model.state_dict()), source="k")
    assert caplog.messages == [f"k: {tmp_path}/old.pth: took 5 tensors, 1 counters of BatchNorm set to 0"]


# Readings


def test_a_models_weights_are_found_among_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = {"criterion.weight": torch.ones(3), "metric.total": torch.tensor(1)}
    torch.save({"state_dict": prefixed(WEIGHTS, "model.") | others}, tmp_path / "a.ckpt")
    with caplog.at_level(logging.INFO, logger="dusa_ignite"):
        classifier_of(tmp_path / "a.ckpt")
    assert caplog.messages[0].endswith(
        "took 32 tensors of state_dict, names that begin with model., 2 others left aside (criterion.weight, "
        "metric.total)"
    )
    teacher = prefixed(WEIGHTS, "student.backbone.") | prefixed(zeros(WEIGHTS), "teacher.backbone.")
    torch.save(teacher, tmp_path / "a.ckpt")
    assert "2 readings fit the model (names that begin with student.backbone.; names that" in refused(
        tmp_path / "a.ckpt"
    )
    torch.save(WEIGHTS | {"extra.weight": torch.zeros(1)}, tmp_path / "a.ckpt")
    assert refused(tmp_path / "a.ckpt") == "does not fit the model: 1 unexpected: extra.weight"


def test_averages_that_do_not_fit_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"net": WEIGHTS, "ema": {"shadow": torch.zeros(1)}}, tmp_path / "a.pt")
    with caplog.at_level(logging.INFO, logger="dusa_ignite"):
        classifier_of(tmp_path / "a.pt")
    assert caplog.messages[0].endswith("took 32 tensors of net, not the averaged ones of ema, which do not fit")


def test_the_same_weights_twice_are_one_reading(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS, "state_dict": {n: v.clone() for n, v in WEIGHTS.items()}}, tmp_path / "a.pt")
    classifier_of(tmp_path / "a.pt")


def test_torchs_own_averages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(timm_model(WEIGHTS))
    torch.save({"model": zeros(WEIGHTS), "swa": averaged.state_dict()}, tmp_path / "a.pt")
    with caplog.at_level(logging.INFO, logger="dusa_ignite"), torch.no_grad():
        assert torch.equal(classifier_of(tmp_path / "a.pt").backbone(IMAGES), timm_model(WEIGHTS)(IMAGES))
    assert "took 32 tensors of swa, names that begin with module. (averaged)" in caplog.messages[0]


# Memory


def test_too_little_memory_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(WEIGHTS, tmp_path / "weights.pt")

    def no_memory(path: Path) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")

    with monkeypatch.context() as patch:
        patch.setattr(read, "_unpickle", no_memory)
        assert re.match(
            r"not enough memory to read it \(the file has [\d.]+ KiB, [\d.]+ GiB are free\)",
            refused(tmp_path / "weights.pt"),
        )
    monkeypatch.setattr(kinds_module, "free_memory", lambda: 1000)
    assert re.match(
        r"not enough memory: it takes .* KiB, 1000 bytes are free; not read", refused(tmp_path / "weights.pt")
    )
    assert (free_memory() or 2**30) > 2**20


OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import torch
from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights import load_weights

taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**26, resource.RLIM_INFINITY))
try:
    load_weights(sys.argv[1], key="classifier.checkpoint", wanted={"weight": torch.empty(2**25, device="meta")})
except CheckpointError as error:
    print(error)
"""


@pytest.mark.slow
def test_memory_that_really_runs_out_is_not_called_damage(tmp_path: Path) -> None:
    """In a process of its own: this one may have memory to spare that earlier tests have given back."""
    torch.save({"weight": torch.zeros(2**25)}, tmp_path / "weights.pt")  # 128 MiB
    command = [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path / "weights.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert re.search(
        r"not enough memory to read it \(the file has 128.0 MiB, .* are free\); end other programs", done.stdout
    ), done.stdout + done.stderr


# No option leads around it


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"checkpoint_path": "x.pth"},
            "checkpoint_path: timm would read weights its own way; use classifier.checkpoint",
        ),
        (
            {"pretrained_strict": False},
            "pretrained_strict: timm would read weights its own way; use nothing: loading is",
        ),
        ({"pretrained_cfg_overlay": {"file": "x"}}, "pretrained_cfg_overlay.file: timm would read weights its own way"),
        ({"pretrained_cfg": {"url": "x"}}, "pretrained_cfg.url: timm would read weights its own way"),
    ],
)
def test_options_by_which_timm_would_load_a_file(options: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"classifier.options.{line}")):
        build_classifier(NAME, num_classes=CLASSES, options={**OPTIONS, **options})
    write_folder(WEIGHTS, timm_config(model_args={**OPTIONS, **options}))(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(f"model_args.{line}")):
        build_classifier(f"local-dir:{tmp_path}", num_classes=CLASSES)


def test_options_that_describe_the_view_stay_allowed() -> None:
    overlay = {"mean": [0.1, 0.2, 0.3]}
    options = {**OPTIONS, "pretrained_cfg_overlay": overlay}
    classifier = build_classifier(NAME, num_classes=CLASSES, image_size=32, options=options)
    assert np.allclose(classifier.mean.flatten().tolist(), overlay["mean"])
