"""The adapted classifier of every task, as timm loads it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import timm
import torch
from ignite.engine import Engine
from safetensors import SafetensorError
from support.toys import toy_classifier

from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.handlers import ClassifierExport
from dusa_ignite.models.build import build_classifier
from dusa_ignite.models.inspect_text import as_text
from dusa_ignite.models.inspect_weights import inspect_weights
from dusa_ignite.models.metadata import metadata_of
from dusa_ignite.models.view import ViewOptions
from dusa_ignite.models.weights import strict


def test_a_file_per_task_that_timm_loads(tmp_path: Path) -> None:
    classifier = toy_classifier("test_convnext").double()
    before = {name: value.clone() for name, value in classifier.backbone.state_dict().items()}

    def update(engine: Engine, batch: dict) -> dict:
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.add_(0.5)
        return {}

    engine = create_adaptation_engine(update)
    ClassifierExport(tmp_path / "export", classifier).attach(engine)
    mask = os.umask(0o022)
    try:
        engine.run([{"task": task, "first": True, "last": True} for task in ("fog/5", "snow/5")], max_epochs=1)
    finally:
        os.umask(mask)
    files = sorted((tmp_path / "export").glob("*.safetensors"))
    assert [(file.name, file.stat().st_mode & 0o777) for file in files] == [
        ("fog_5.safetensors", 0o644),
        ("snow_5.safetensors", 0o644),
    ]
    for updates, file in enumerate(files, start=1):
        model = timm.create_model("test_convnext", num_classes=classifier.num_classes, checkpoint_path=str(file))
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, (before[name] + 0.5 * updates).float(), rtol=1e-6, atol=0)
        folder = timm.create_model(f"local-dir:{file.with_suffix('')}", pretrained=True)
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in folder.state_dict().items())
        assert (file.with_suffix("") / "model.safetensors").stat().st_ino == file.stat().st_ino  # takes no room


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")])
def test_a_full_disk_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def full(*args: object) -> None:
        raise error

    monkeypatch.setattr(strict, "save_file", full)
    log = logging.getLogger("dusa_ignite.handlers.export")
    monkeypatch.setattr(log, "propagate", False)
    log.addHandler(caplog.handler)
    engine = create_adaptation_engine(lambda engine, batch: {})
    ClassifierExport(tmp_path / "export", toy_classifier("test_convnext")).attach(engine)
    engine.run([{"task": "fog/5", "first": True, "last": True}], max_epochs=1)
    log.removeHandler(caplog.handler)
    assert caplog.text.count("No space left on device") == 1
    assert "adapted weights not written, the run goes on" in caplog.text
    assert list((tmp_path / "export").iterdir()) == []


VIEW = ViewOptions(
    image_size=48,
    crop_pct=0.8,
    interpolation="nearest",
    crop_mode="center",
    mean=(0.4, 0.5, 0.6),
    std=(0.1, 0.2, 0.3),
    antialias=False,
)


def test_an_export_knows_its_view_and_its_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = build_classifier("test_convnext", num_classes=3, view=VIEW)
    engine = create_adaptation_engine(lambda engine, batch: {})
    ClassifierExport(tmp_path, classifier, class_names=("cat", "dog", "emu")).attach(engine)
    engine.run([{"task": "fog", "first": True, "last": True}], max_epochs=1)
    file = str(tmp_path / "fog.safetensors")

    known = metadata_of(file, name="test_convnext", pretrained=False, num_classes=3)
    assert known.class_names == ("cat", "dog", "emu")
    assert known.names_source == "fog.safetensors's metadata"
    again = build_classifier("test_convnext", num_classes=3, checkpoint=file)
    assert again.source_view.values() == classifier.source_view.values()
    assert set(again.source_view.sources.values()) == {"fog.safetensors's metadata"}
    images = torch.rand(2, 3, 60, 50)
    assert torch.equal(again(images), classifier(images))

    report = inspect_weights(file)
    assert (report.kind, report.architecture, report.num_classes) == ("classifier", "test_convnext", 3)
    assert report.class_names == ["cat", "dog", "emu"]
    assert report.view == classifier.source_view.values()
    text = as_text(report)
    for line in ("cat, dog, emu (fog.safetensors's metadata)", "48 (fog.safetensors's metadata)", "antialias"):
        assert line in text
    assert "  name: test_convnext\n" in text
