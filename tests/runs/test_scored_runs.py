"""Runs on tasks that hold some of the classes only."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.results.tables import scored_line
from dusa_ignite.runs.adapt import adapt

CLASSES = list("abcdefgh")
PRESENT = {"1", "2", "4"}  # b, c, e
TINY = [
    "classifier={name: test_vit, pretrained: false, num_classes: 8, image_size: 32, options: {img_size: 32}}",
    "transformer={family: repa, checkpoint: random, num_classes: 8, image_size: 8, patch_size: 4, hidden_size: 16, "
    "depth: 1, num_heads: 2}",
    "vae.pretrained=null",
    "optimizer.lr=1e-2",
    "data.num_workers=0",
    "data.batch_size=4",
    "norm_ema={decay: 0.9, evaluate: true}",
]
DUSA = "method={name: dusa, num_top: 2, num_random: 1}"


def images(folder: Path, classes: str) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        path = folder / classes[number % len(classes)] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One task whose images are of three of the eight classes."""
    images(tmp_path / "photos" / "fog", "bce")
    return tmp_path / "photos"


def run(photos: Path, output: Path, *overrides: str) -> Path:
    own = [f"data.root={photos}", f"data.classes={json.dumps(CLASSES)}", f"output_dir={output}", "name=run"]
    adapt(0, load_config(CONFIGS / "image_folder.yaml", [*own, *TINY, *overrides]))
    return output / "run"


def lines_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_scored_over_the_present_classes_the_update_is_the_same(photos: Path, tmp_path: Path) -> None:
    among_all = run(photos, tmp_path / "all", DUSA, "export=classifier")
    present = run(photos, tmp_path / "present", DUSA, "export=classifier", "data.score_over=present")
    assert {line["predicted"] for line in lines_of(among_all)} - PRESENT
    assert {line["predicted"] for line in lines_of(present)} <= PRESENT
    weights, others = (load_file(folder / "export" / "fog.safetensors") for folder in (among_all, present))
    assert all((weights[name] == others[name]).all() for name in weights)
    for before, line in zip(lines_of(among_all), lines_of(present), strict=True):
        assert (before["index"], before["label"]) == (line["index"], line["label"])
        assert float(line["confidence"]) >= 1 / 3
    scored = {"over": "present", "classes": 8, "present": {"fog": 3}}
    for name in ("run.json", "summary.json"):
        assert json.loads((present / name).read_text())["scored_over"] == scored
        assert json.loads((among_all / name).read_text())["scored_over"] == {"over": "all", "classes": 8}
    assert scored_line(scored) == "scored over the classes present in the task: 3 of 8"
    assert f"{scored_line(scored)}\ntask" in (present / "log.txt").read_text()
    assert "scored over" not in (among_all / "log.txt").read_text()
    rows = (present / "results.csv").read_text().splitlines()
    assert rows[1].split(",")[3] == ""  # no top-5 of three classes
    assert rows[1].split(",")[5] != ""  # but the averaged norms' accuracy


def test_an_update_restricted_to_the_present_classes_is_another(photos: Path, tmp_path: Path) -> None:
    present = run(photos, tmp_path / "present", DUSA, "export=classifier", "data.score_over=present")
    narrow = run(
        photos, tmp_path / "narrow", DUSA, "export=classifier", "data.score_over=present", "method.restrict_to=present"
    )
    assert {line["predicted"] for line in lines_of(narrow)} <= PRESENT
    weights, others = (load_file(folder / "export" / "fog.safetensors") for folder in (present, narrow))
    assert weights["head.weight"].shape == others["head.weight"].shape == (8, weights["head.weight"].shape[1])
    assert any((weights[name] != others[name]).any() for name in weights)
    updates = [json.loads(line) for line in (narrow / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["update_loss"]) for line in updates)


def test_source_is_the_same_either_way(photos: Path, tmp_path: Path) -> None:
    source = ["method={name: source}", "data.score_over=present"]
    wide = run(photos, tmp_path / "wide", *source)
    narrow = run(photos, tmp_path / "narrow", *source, "method.restrict_to=present")
    assert (wide / "predictions.csv").read_text() == (narrow / "predictions.csv").read_text()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["method.restrict_to=present"],
            "'present' needs data.score_over=present: an update that knows no other classes cannot predict them",
        ),
        (
            ["method={name: dusa, restrict_to: present}", "data.score_over=present"],
            "method.num_top: num_top 4 + num_random 2 is more than there are classes; allowed: together <= "
            "classifier.num_classes = 3 (the classes present, as method.restrict_to says)",
        ),
    ],
)
def test_what_cannot_be(photos: Path, tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(photos, tmp_path, *overrides)
    assert message in str(caught.value)


def test_tasks_of_other_classes_can_be_scored_but_not_restricted_together(photos: Path, tmp_path: Path) -> None:
    images(photos / "snow", "ab")
    folder = run(photos, tmp_path / "a", DUSA, "data.score_over=present")
    assert {line["predicted"] for line in lines_of(folder) if line["task"] == "snow"} <= {"0", "1"}
    scored = json.loads((folder / "run.json").read_text())["scored_over"]
    assert scored_line(scored) == "scored over the classes present in the task: 2 to 3 of 8"
    restricted = [DUSA, "data.score_over=present", "method.restrict_to=present"]
    with pytest.raises(ConfigError, match="needs tasks that hold the same classes, but fog and snow differ"):
        run(photos, tmp_path / "b", *restricted)
    folder = run(photos, tmp_path / "c", *restricted, "setting=mixed")
    assert {line["predicted"] for line in lines_of(folder)} <= {"0", *PRESENT}


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (32, 32)).save(flat / "1.png")
    with pytest.raises(DataError, match="score_over: present needs labels, but no image of task"):
        run(flat, tmp_path, DUSA, "data.score_over=present")
