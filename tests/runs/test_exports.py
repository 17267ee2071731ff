"""From a run's export to the classifier of another run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.handlers.onnx_export import OLDEST_TORCH
from dusa_ignite.models.metadata import read_metadata
from dusa_ignite.runs.adapt import adapt

VIEW = "classifier.view={image_size: 32, crop_pct: 0.9, interpolation: bilinear, mean: [0.4, 0.4, 0.4]}"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number, name in enumerate(["cat", "dog", "emu"] * 3):
        folder = tmp_path / "photos" / "fog" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "photos"


def run(root: Path, output: Path, *overrides: str) -> dict[str, Any]:
    """A run's description."""
    own = [f"data.root={root}", f"output_dir={output}", "name=run", "data.num_workers=0", "transformer=null"]
    own += ["classifier={name: test_vit, pretrained: false, num_classes: 3, options: {img_size: 32}}", "norm_ema=null"]
    adapt(0, load_config(CONFIGS / "image_folder.yaml", [*own, *overrides]))
    return json.loads((output / "run" / "run.json").read_text())


def test_an_export_is_the_next_runs_classifier(photos: Path, tmp_path: Path) -> None:
    source = ["method={name: source}"]
    first = run(photos, tmp_path / "a", *source, VIEW, "export=classifier")
    export = f"classifier.checkpoint={tmp_path / 'a' / 'run' / 'export' / 'fog.safetensors'}"
    second = run(photos, tmp_path / "b", *source, export)
    for key, told in first["view"].items():
        assert second["view"][key] == {"value": told["value"], "from": "fog.safetensors's metadata"}
    assert first["classes"] == {"names": ["cat", "dog", "emu"], "verified_by": None}
    assert second["classes"] == {"names": ["cat", "dog", "emu"], "verified_by": "fog.safetensors's metadata"}
    by_name = f"classifier={{name: local-dir:{tmp_path / 'a' / 'run' / 'export' / 'fog'}, num_classes: 3}}"
    third = run(photos, tmp_path / "d", *source, by_name)
    assert third["classes"] == {"names": ["cat", "dog", "emu"], "verified_by": "model.safetensors's metadata"}
    with pytest.raises(ConfigError, match="0 is 'emu' in the data, 'cat' there"):
        run(photos, tmp_path / "e", *source, by_name, "data.classes=[emu, dog, cat]")
    predictions = [(tmp_path / name / "run" / "predictions.csv").read_text() for name in "abd"]
    assert predictions[0] == predictions[1] == predictions[2]
    with pytest.raises(ConfigError, match="0 is 'emu' in the data, 'cat' there"):
        run(photos, tmp_path / "c", *source, export, "data.classes=[emu, dog, cat]")


def test_numbers_that_stand_for_unknown_classes_are_not_written_as_names(photos: Path, tmp_path: Path) -> None:
    flat = photos / "fog" / "cat"
    (flat / "0.png").rename(tmp_path / "0.png")
    (tmp_path / "flat").mkdir()
    (tmp_path / "0.png").rename(tmp_path / "flat" / "0.png")
    run(tmp_path / "flat", tmp_path / "a", "method={name: source}", "export=classifier")
    (export,) = (tmp_path / "a" / "run" / "export").glob("*.safetensors")
    assert read_metadata(export, key="classifier.checkpoint").class_names == ()


@pytest.mark.parametrize("size", [32, 45])
def test_timm_loads_an_export_and_sees_images_as_the_run_has(photos: Path, tmp_path: Path, size: int) -> None:
    for file in photos.rglob("*.png"):
        with Image.open(file) as image:
            image.resize((4, 4)).resize((size, size), Image.Resampling.BICUBIC).save(file)  # smooth, as photographs are
    run(photos, tmp_path, "method={name: source}", VIEW, "export=classifier", "run.precision=float64")
    model = timm.create_model(f"local-dir:{tmp_path / 'run' / 'export' / 'fog'}", pretrained=True).eval()
    config = timm.data.resolve_data_config(model.pretrained_cfg, model=model)
    assert model.pretrained_cfg["label_names"] == ["cat", "dog", "emu"]
    assert model.num_classes == 3
    assert config["input_size"] == (3, 32, 32)  # the option img_size has come along
    assert config["crop_pct"] == (1.0 if size == 32 else 0.9)  # what has the size already is not cut
    transform = timm.data.create_transform(**config)
    with (tmp_path / "run" / "predictions.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9
    for line in lines:
        with Image.open(photos / line["path"]) as image, torch.no_grad():
            probabilities = model(transform(image.convert("RGB"))[None]).softmax(dim=1)[0]
        assert line["predicted_name"] == ["cat", "dog", "emu"][int(probabilities.argmax())]
        within = 2e-6 if size == 32 else 0.02  # Pillow rounds what it has resized to whole grey levels
        assert float(line["confidence"]) == pytest.approx(float(probabilities.max()), abs=within)


@pytest.mark.skipif(torch.__version__ < OLDEST_TORCH, reason="this torch is too old for export=onnx")
def test_batch_norm_by_batches_is_nothing_for_timm(photos: Path, tmp_path: Path) -> None:
    norms = [
        "method={name: tent}",
        "classifier={name: test_resnet, pretrained: false, num_classes: 3, trainable: norm}",
    ]
    run(photos, tmp_path, *norms, "export=onnx")
    assert [path.name for path in (tmp_path / "run" / "export").iterdir()] == ["fog.safetensors"]
    assert "with classifier.batch_norm=source there is" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    run(photos, tmp_path / "b", *norms, "export=classifier", "classifier.batch_norm=source")
    assert (tmp_path / "b" / "run" / "export" / "fog" / "config.json").is_file()


def test_methods_that_learn_no_weights_say_what_their_files_hold(photos: Path, tmp_path: Path) -> None:
    for name, said in (("lame", True), ("source", False)):
        run(photos, tmp_path / name, f"method={{name: {name}}}", "data.batch_size=3", "export=classifier")
        log = (tmp_path / name / "run" / "log.txt").read_text(encoding="utf-8")
        assert ("export: this method learns no weights; the files hold the source's" in log) == said


def test_an_export_is_removed_with_its_run(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path, "method={name: source}", "export=classifier")
    config = load_config(tmp_path / "run" / "config.yaml", ["export=null"])
    adapt(0, config, True)
    assert [path for path in (tmp_path / "run" / "export").rglob("*") if path.is_file()] == []
