"""Whole runs on small data: what must not depend on how they are computed, and what must be written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.results.rows import COLUMNS, PIXEL_COLUMNS, TIME_COLUMNS
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.assemble_models import classifier_of

TINY = [  # the whole ImageNet-like pipeline without a VAE, small enough for a second
    "classifier={name: test_vit, pretrained: false, num_classes: 3, image_size: 32, options: {img_size: 32}}",
    "transformer={family: repa, checkpoint: random, num_classes: 3, image_size: 8, patch_size: 4, hidden_size: 16, "
    "depth: 1, num_heads: 2}",
    "vae.pretrained=null",
    "method={name: dusa, num_top: 2, num_random: 1}",
    "optimizer.lr=1e-3",
    "run.precision=float64",
    "data.num_workers=0",
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two tasks of 5 and 3 images of mixed sizes in three classes."""
    rng = np.random.default_rng(0)
    for task, count in (("fog", 5), ("snow", 3)):
        for number in range(count):
            folder = tmp_path / "photos" / task / "abc"[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            height, width = 30 + number, 40 - number
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def run(photos: Path, output: Path, *overrides: str) -> tuple[Path, list[dict[str, str]]]:
    """A run's folder and its results without the columns that hold times."""
    config = load_config(
        CONFIGS / "image_folder.yaml", [f"data.root={photos}", f"output_dir={output}", "name=run", *TINY, *overrides]
    )
    adapt(0, config)
    return output / "run", results_of(output / "run")


def results_of(folder: Path) -> list[dict[str, str]]:
    """The rows of results.csv without the columns that hold times."""
    with (folder / "results.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in csv.DictReader(file)]


def predictions_of(folder: Path) -> list[dict[str, str]]:
    """The lines of predictions.csv."""
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_outputs(photos: Path, tmp_path: Path) -> None:
    folder, rows = run(photos, tmp_path, "norm_ema={decay: 0.9, evaluate: true}", "data.batch_size=2")
    assert {path.name for path in folder.iterdir()} == {
        "accuracy_stream.png",
        "accuracy_tasks.png",
        "checkpoints",
        "config.yaml",
        "log.txt",
        "metrics.jsonl",
        "predictions.csv",
        "report.html",
        "results.csv",
        "run.json",
        "summary.json",
    }
    assert [(row["task"], row["images"]) for row in rows] == [("fog", "5"), ("snow", "3"), ("mean", "8")]
    assert rows[0].keys() == set(COLUMNS) - set(TIME_COLUMNS) - set(PIXEL_COLUMNS)
    assert rows[0]["top5"] == ""  # three classes
    assert rows[0]["ema_top1"] != ""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["iteration"], line["task"], line["images"]) for line in lines] == [
        (1, "fog", 2),
        (2, "fog", 4),
        (3, "fog", 5),
        (4, "snow", 2),
        (5, "snow", 3),
    ]
    assert {"update_loss", "top1", "loss_top_0", "loss_top_1", "loss_rand_0", "auc", "gap_norm"} <= lines[0].keys()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["mean"]["images"] == 8
    assert summary["peak_memory_bytes"]["host"] > 2**20
    run_json = json.loads((folder / "run.json").read_text())
    assert len(run_json["weights_sha256"]["classifier"]) == len(run_json["weights_sha256"]["transformer"]) == 64
    assert run_json["data_fingerprints"].keys() == {"fog", "snow"}
    with Image.open(folder / "accuracy_stream.png") as picture:
        assert picture.width > 500
    assert "2 tasks, 5 updates" in (folder / "log.txt").read_text()


def test_the_written_config_repeats_the_run(photos: Path, tmp_path: Path) -> None:
    folder, rows = run(photos, tmp_path / "a")
    config = load_config(folder / "config.yaml", [f"output_dir={tmp_path / 'b'}"])
    adapt(0, config)
    assert results_of(tmp_path / "b" / "run") == rows


@pytest.mark.parametrize("size", [3, 8])
def test_micro_batches_do_not_change_results(photos: Path, tmp_path: Path, size: int) -> None:
    overrides = ["data.batch_size=4", "export=classifier"]
    ones, one = run(photos, tmp_path / "one", *overrides, "data.micro_batch_size=1")
    others, other = run(photos, tmp_path / "other", *overrides, f"data.micro_batch_size={size}")
    for a, b in zip(one, other, strict=True):
        assert a["top1"] == b["top1"]
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-9)
        assert float(a["ece"]) == pytest.approx(float(b["ece"]), rel=1e-6)
    lines, expected = predictions_of(others), predictions_of(ones)
    assert len(lines) == 8
    for line, wanted in zip(lines, expected, strict=True):
        assert {**line, "confidence": ""} == {**wanted, "confidence": ""}
        assert float(line["confidence"]) == pytest.approx(float(wanted["confidence"]), abs=1.1e-6)  # six digits
    for task in ("fog", "snow"):
        adapted, wanted_weights = (load_file(folder / "export" / f"{task}.safetensors") for folder in (others, ones))
        assert adapted.keys() == wanted_weights.keys()
        for name, value in adapted.items():
            torch.testing.assert_close(value, wanted_weights[name], rtol=1e-6, atol=1e-6)
    before = classifier_of(load_config(ones / "config.yaml")).backbone.state_dict()
    assert any(not torch.equal(before[name].float(), value) for name, value in adapted.items())  # it did learn


def test_fully_equals_each_task_alone_and_continual_does_not(photos: Path, tmp_path: Path) -> None:
    _, fully = run(photos, tmp_path / "fully", "data.batch_size=2")
    _, continual = run(photos, tmp_path / "continual", "data.batch_size=2", "setting=continual")
    (photos / "fog").rename(tmp_path / "elsewhere")
    _, alone = run(photos, tmp_path / "alone", "data.batch_size=2")
    assert alone[0] == fully[1]
    assert fully[0] == continual[0]
    assert fully[1]["loss"] != continual[1]["loss"]


def test_source_needs_no_transformer_and_never_learns(photos: Path, tmp_path: Path) -> None:
    folder, rows = run(photos, tmp_path, "method={name: source}", "transformer.checkpoint=/nowhere.pt")
    assert rows[0]["loss"] == ""
    assert json.loads((folder / "run.json").read_text())["weights_sha256"].keys() == {"classifier"}


def test_episodic_predictions_depend_on_their_own_batch_alone(photos: Path, tmp_path: Path) -> None:
    lines = []
    for shuffle in ("true", "false"):
        overrides = ["setting=episodic", "data.batch_size=1", f"data.shuffle={shuffle}", "norm_ema=null"]
        overrides += ["method={name: tent}", "classifier.trainable=norm"]  # a random guide teaches nothing at first
        folder, _ = run(photos, tmp_path / shuffle, *overrides)
        lines.append((folder / "predictions.csv").read_text().splitlines())
    assert lines[0] != lines[1]  # another order
    assert sorted(lines[0]) == sorted(lines[1])
    folder, _ = run(photos, tmp_path / "source", "method={name: source}", "data.batch_size=1", "data.shuffle=false")
    assert (folder / "predictions.csv").read_text().splitlines() != lines[1]  # predicted after the update


def test_dusa_with_learning_rate_zero_predicts_like_source(photos: Path, tmp_path: Path) -> None:
    _, still = run(photos, tmp_path / "still", "optimizer.lr=0.0")
    _, source = run(photos, tmp_path / "source", "method={name: source}")
    assert [(row["top1"], row["ece"]) for row in still] == [(row["top1"], row["ece"]) for row in source]


def test_an_earlier_run_is_not_overwritten(photos: Path, tmp_path: Path) -> None:
    folder, _ = run(photos, tmp_path)
    before = (folder / "results.csv").read_bytes()
    with pytest.raises(ConfigError, match="holds a finished run; choose another name"):
        run(photos, tmp_path)
    (folder / "summary.json").unlink()
    with pytest.raises(ConfigError, match="holds a run that has not finished"):
        run(photos, tmp_path)
    assert (folder / "results.csv").read_bytes() == before


def test_unreadable_images_are_left_out_and_counted_on_request(photos: Path, tmp_path: Path) -> None:
    broken = photos / "fog" / "a" / "0.png"
    broken.write_bytes(broken.read_bytes()[:40])
    folder, rows = run(photos, tmp_path, "data.on_error=skip")
    assert [(row["images"], row["unreadable"]) for row in rows] == [("4", "1"), ("3", "0"), ("7", "1")]
    assert str(broken) in (folder / "log.txt").read_text()


def test_a_run_that_an_unreadable_image_stopped_goes_on_without_it(photos: Path, tmp_path: Path) -> None:
    broken = photos / "snow" / "a" / "0.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(DataError, match=r"or set data\.on_error=skip to leave such images out"):
        run(photos, tmp_path, "data.batch_size=4")
    _, rows = run(photos, tmp_path, "data.batch_size=4", "data.on_error=skip", "resume=auto")
    assert [(row["task"], row["images"], row["unreadable"]) for row in rows[:2]] == [
        ("fog", "5", "0"),
        ("snow", "2", "1"),
    ]


def test_without_labels_no_accuracy_is_shown(photos: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, image in enumerate(sorted(photos.rglob("*.png"))):
        image.rename(flat / f"{number}.png")
    folder, rows = run(flat, tmp_path, "data.classes=[a, b, c]")
    assert [row["images"] for row in rows] == ["8"] * 2
    assert not {"top1", "top5", "ece", "ema_top1", "source_top1"} & rows[0].keys()
    assert [path.name for path in folder.glob("*.png")] == ["stream.png"]
    log = (folder / "log.txt").read_text()
    assert "flat: update 1/1, " in log
    assert "nan" not in log
    assert "top" not in log


def test_config_yaml_is_the_resolved_config(photos: Path, tmp_path: Path) -> None:
    folder, _ = run(photos, tmp_path)
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert written["path"] == {"name": "linear"}
    assert written["run"]["precision"] == "float64"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_bfloat16_on_a_gpu(photos: Path, tmp_path: Path) -> None:
    _, rows = run(photos, tmp_path, "run.precision=auto")
    assert rows[-1]["skipped_updates"] == "0"
