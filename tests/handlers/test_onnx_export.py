"""The adapted classifier as an ONNX file."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from torch.torch_version import TorchVersion

from dusa_ignite.commands.main import main
from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.errors import ConfigError
from dusa_ignite.handlers import ClassifierExport
from dusa_ignite.handlers.onnx_export import OLDEST_TORCH, check_onnx, write_onnx
from dusa_ignite.models.build import build_classifier


def test_the_file_has_the_classifiers_logits(tmp_path: Path) -> None:
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
    pytest.importorskip("onnxscript")
    if torch.__version__ < OLDEST_TORCH:
        pytest.skip(f"torch {torch.__version__} cannot export BatchNorm")
    torch.manual_seed(0)
    batch = build_classifier("test_resnet", num_classes=3, image_size=32, batch_norm="batch")
    for name, value in batch.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(std=0.1)
    source = build_classifier("test_resnet", num_classes=3, image_size=32, batch_norm="source")
    source.load_state_dict(batch.state_dict())
    state = torch.get_rng_state()
    write_onnx(batch.double(), tmp_path / "model.onnx")
    assert torch.equal(torch.get_rng_state(), state)  # a run draws on as if nothing had been exported
    assert batch.uses_batch_statistics
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    model = evaluator(str(tmp_path / "model.onnx"))
    assert (model.input_names, model.output_names) == (["images"], ["logits"])
    for count in (1, 3):  # of any number of images, each for itself
        images = torch.rand(count, 3, 32, 32)
        (logits,) = model.run(None, {"images": images.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(logits), source(images), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_exported_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("this layer has no ONNX\nand so on")

    monkeypatch.setattr(torch.onnx, "export", fail)
    log = logging.getLogger("dusa_ignite.handlers.export")
    log.addHandler(caplog.handler)

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        return {}

    engine = create_adaptation_engine(update)  # type: ignore[arg-type]
    ClassifierExport(tmp_path, build_classifier("test_vit", num_classes=3), onnx=True).attach(engine)
    try:
        engine.run([{"task": "fog/5", "first": True, "last": True}], max_epochs=1)
    finally:
        log.removeHandler(caplog.handler)
    assert {record.getMessage() for record in caplog.records} == {
        f"{tmp_path / 'fog_5' / 'model.onnx'}: not written, the run goes on: this layer has no ONNX"
    }
    assert {path.name for path in (tmp_path / "fog_5").iterdir()} == {"config.json", "model.safetensors"}


def test_a_torch_that_is_too_old_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.10.0+cu128"))
    check_onnx()
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.6.0+cu124"))
    with pytest.raises(ConfigError, match=r"^export: onnx needs torch 2\.7 or newer, and this is 2\.6\.0\+cu124: "):
        check_onnx()


def test_missing_packages_are_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "onnxscript" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(ConfigError, match=r"^export: onnx needs onnxscript: pip install 'dusa_ignite\[onnx\]'"):
        check_onnx()
    options = ["export=onnx", "method.name=source", f"output_dir={tmp_path}", "data.corruptions=[fog]"]
    for command in ("adapt", "check"):
        assert main([command, "--config", "digits", *options]) == 2
        shown = capsys.readouterr()
        assert "export: onnx needs onnxscript" in shown.out + shown.err
    assert not (tmp_path / "digits" / "results.csv").exists()
