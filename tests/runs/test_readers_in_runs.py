"""Runs on the same images in several shapes, and runs that a list of files narrows."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.data.file_list import list_line
from dusa_ignite.runs.adapt import adapt

CLASSES = list("abcdefgh")
TINY = [
    "classifier={name: test_vit, pretrained: false, num_classes: 8, image_size: 32, options: {img_size: 32}}",
    "transformer={family: repa, checkpoint: random, num_classes: 8, image_size: 8, patch_size: 4, hidden_size: 16, "
    "depth: 1, num_heads: 2}",
    "vae.pretrained=null",
    "method={name: dusa, num_top: 2, num_random: 1}",
    "optimizer.lr=1e-2",
]


@pytest.fixture
def shapes(tmp_path: Path) -> dict[str, list[str]]:
    """Twelve images of a task ``fog`` in each shape: the overrides that name it."""
    rng = np.random.default_rng(0)
    names = sorted(f"{CLASSES[number % 8]}/{number}.png" for number in range(12))
    for name in names:
        path = tmp_path / "photos/fog" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        path.with_suffix(".cls").write_text(name[0])
    (tmp_path / "list.csv").write_text(
        "\n".join(["path,label,task", *(f"photos/fog/{name},{name[0]},fog" for name in names)])
    )
    (tmp_path / "shards/fog").mkdir(parents=True)
    with tarfile.open(tmp_path / "shards/fog/0.tar", "w") as tar:
        for name in names:
            tar.add(tmp_path / "photos/fog" / name, arcname=name)
            tar.add((tmp_path / "photos/fog" / name).with_suffix(".cls"), arcname=name.replace("png", "cls"))
    return {
        "image_folder": ["data.name=image_folder", f"data.root={tmp_path / 'photos'}"],
        "image_list": ["data.name=image_list", f"data.root={tmp_path / 'list.csv'}"],
        "webdataset": ["data.name=webdataset", f"data.root={tmp_path / 'shards'}"],
    }


def run(output: Path, *overrides: str, num_workers: int = 0) -> Path:
    own = [*overrides, f"data.classes={json.dumps(CLASSES)}", f"output_dir={output}", "name=run", "data.batch_size=4"]
    own.append(f"data.num_workers={num_workers}")
    adapt(0, load_config(CONFIGS / "image_folder.yaml", [*own, *TINY]))
    return output / "run"


def test_equal_images_give_equal_results(shapes: dict[str, list[str]], tmp_path: Path) -> None:
    def predictions(folder: Path) -> list[list[str]]:
        """Everything but the paths, which are relative to other folders."""
        with (folder / "predictions.csv").open(newline="") as file:
            return [[value for name, value in row.items() if name != "path"] for row in csv.DictReader(file)]

    expected = predictions(run(tmp_path / "out", *shapes["image_folder"]))
    assert len(expected) == 12
    for name in ("image_list", "webdataset"):
        folder = run(tmp_path / name, *shapes[name], num_workers=2)
        assert predictions(folder) == expected


def test_the_results_say_which_images_a_list_left(shapes: dict[str, list[str]], tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("a/0.png\nb/1.png\nb/9.png\nc/2.png\nh/7.png\n")
    folder = run(tmp_path / "out", *shapes["image_folder"], f"data.files={tmp_path / 'some.txt'}")
    assert len((folder / "predictions.csv").read_text().splitlines()) == 6
    listed = json.loads((folder / "run.json").read_text())["files"]
    assert listed["images"] == {"fog": 5}
    assert json.loads((folder / "summary.json").read_text())["files"] == listed
    assert f"{list_line(listed)}\ntask" in (folder / "log.txt").read_text()
    assert list_line(listed).endswith(": 5 per task")
