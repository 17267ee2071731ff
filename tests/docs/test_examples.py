"""The examples in docs/examples do what the pages say: each goes through a real run."""

from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.files import CONFIGS, ROOT

from dusa_ignite.config import load_config, own_parts
from dusa_ignite.data.digits import task_half
from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.errors import CheckpointError, DataError
from dusa_ignite.results.rows import read_csv
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.assemble import build_tasks
from dusa_ignite.runs.assemble_models import classifier_of, guide_of
from dusa_ignite.testing import check_method
from dusa_ignite.utils.own_parts import load_part

EXAMPLES = ROOT / "docs" / "examples"
METHOD = f"{EXAMPLES}/my_method.py:MyMethod"
DATA = f"{EXAMPLES}/my_data.py:MyData"
CLASSIFIER = f"{EXAMPLES}/my_classifier.py:build"
FAMILY = f"{EXAMPLES}/my_family.py:MY_FAMILY"
TENT = ["method.name=tent", "classifier.trainable=norm", "norm_ema=null"]


def run(folder: Path, *overrides: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A short run's results, and its description."""
    options = [
        "run.num_threads=1",
        f"output_dir={folder}",
        "name=x",
        "data.clean_root=null",
        "data.limit=32",
        "data.batch_size=16",
    ]
    config = load_config(CONFIGS / "digits.yaml", [*options, *overrides])
    adapt(0, config)
    description = json.loads((folder / "x" / "run.json").read_text())
    assert description["own_parts"] == own_parts(config)
    return read_csv(folder / "x" / "results.csv"), description


# The method


def test_my_method_runs(tmp_path: Path) -> None:
    overrides = [
        "method.factor=0.8",
        "classifier.trainable=norm",
        "optimizer.lr=0.003",
        "data.corruptions=[fog, contrast]",
    ]
    rows, description = run(tmp_path, f"method.name={METHOD}", *overrides)
    assert [row["task"] for row in rows] == ["fog/5", "contrast/5", "mean"]
    assert description["own_parts"].keys() == {METHOD}
    updates = [json.loads(line) for line in (tmp_path / "x" / "metrics.jsonl").read_text().splitlines()]
    shares = [update["confident"] for update in updates if "confident" in update]
    assert [share == 1 for share in shares] == [True, False, True, False]  # the average starts afresh with every task


@pytest.mark.slow
def test_my_method_keeps_the_contract() -> None:
    check_method(load_part(METHOD, key="method.name"), factor=0.8)


def test_what_my_method_remembers() -> None:
    from dusa_ignite.testing import Run

    method = load_part(METHOD, key="method.name")
    run = Run(method, decay=0.5)
    assert math.isnan(run.method.average)
    averages = [run.meet([("fog", first, 4)]).method.average for first in (0, 4)]
    assert averages[0] != averages[1]
    other = Run(method)
    other.method.load_state_dict(run.method.state_dict())
    assert other.method.average == averages[1]


# The data set


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the example itself writes."""
    folder = tmp_path_factory.mktemp("npz")
    subprocess.run([sys.executable, EXAMPLES / "my_data.py"], cwd=folder, check=True, capture_output=True)
    return folder / "mine.npz"


def test_my_data_runs(tmp_path: Path, npz: Path) -> None:
    data = f"data={{name: {DATA}, root: {npz}, limit: 32, batch_size: 16, num_workers: 2}}"
    rows, description = run(tmp_path, data, *TENT)
    assert [(row["task"], row["images"]) for row in rows] == [("fog", 32), ("dark", 32), ("mean", 64)]
    assert description["data_fingerprints"].keys() == {"fog", "dark"}
    assert len(set(description["data_fingerprints"].values())) == 2


def test_my_data_says_what_is_missing(tmp_path: Path, npz: Path) -> None:
    def tasks(root: Path) -> Any:
        options = [f"data={{name: {DATA}, root: {root}}}", *TENT]
        return build_tasks(load_config(CONFIGS / "digits.yaml", options))

    image, label = tasks(npz)[0].dataset[5]
    assert (image.shape, image.dtype, label) == ((3, 32, 32), torch.uint8, 0)
    np.savez(tmp_path / "half.npz", fog_images=np.zeros((2, 4, 4, 3), np.uint8))
    (tmp_path / "text.npz").write_text("no arrays")
    for name, said in (
        ("half.npz", r"half\.npz: holds no classes, fog_labels$"),
        ("text.npz", r"text\.npz: is no \.npz file that can be read"),
        ("none.npz", r"none\.npz: is no \.npz file that can be read \(.*No such file"),
    ):
        with pytest.raises(DataError, match=said):
            tasks(tmp_path / name)


OTHERS = ("speckle", "occlusion", "ghost", "dark", "haze", "stripes", "uneven_light", "rotation")


@pytest.mark.parametrize("corruption", OTHERS)
def test_other_digits_get_worse(corruption: str) -> None:
    corrupted = load_part(f"{EXAMPLES}/other_digits.py:Corrupted", key="example")
    clean, labels = task_half()
    weak, strong = (corrupted(corruption, severity) for severity in (1, 5))
    assert torch.equal(strong.labels, labels)
    distances = [(images.float() - clean.float()).abs().mean().item() for images in (weak.images, strong.images)]
    assert 0 < distances[0] < distances[1]
    assert corrupted(corruption, 5).fingerprint() == strong.fingerprint() != weak.fingerprint()


def test_other_digits_run(tmp_path: Path) -> None:
    data = (
        f"data={{name: {EXAMPLES}/other_digits.py:OtherDigits, limit: 32, batch_size: 16, corruptions: [haze, dark]}}"
    )
    rows, _ = run(tmp_path, data, *TENT)
    assert [(row["task"], row["images"]) for row in rows] == [("haze/5", 32), ("dark/5", 32), ("mean", 64)]


# The classifier


def test_my_classifier_runs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(load_part(CLASSIFIER, key="classifier.name")(width=8).state_dict(), tmp_path / "mine.pt")
    options = f"options: {{width: 8, weights: {tmp_path / 'mine.pt'}}}"
    classifier = f"classifier={{name: {CLASSIFIER}, num_classes: 10, trainable: norm, {options}}}"
    rows, description = run(tmp_path, classifier, *TENT, "data.corruptions=[fog]")
    assert rows[0]["images"] == 32
    assert description["own_parts"].keys() == {CLASSIFIER}


def test_my_classifier_serves_methods_that_look_at_features(tmp_path: Path) -> None:
    overrides = [f"classifier.name={CLASSIFIER}", "classifier.checkpoint=null", "method.name=lame"]
    run(tmp_path, *overrides, "data.corruptions=[fog]")
    classifier = classifier_of(load_config(CONFIGS / "digits.yaml", overrides))
    logits, features = classifier.forward_with_features(torch.rand(2, 3, 32, 32))
    assert (logits.shape, features.shape) == ((2, 10), (2, 16))


# The handler


def test_my_handler_in_its_script(capsys: pytest.CaptureFixture[str]) -> None:
    main = load_part(f"{EXAMPLES}/my_handler.py:main", key="example")
    overrides = ["run.num_threads=1", "data.corruptions=[fog, contrast]", "data.limit=32", "data.batch_size=16", *TENT]
    main(CONFIGS / "digits.yaml", overrides)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"fog/5: (\d \d+%(, |$)){10}", first)
    assert second.startswith("contrast/5: ")


def test_my_handler_ends_a_run_that_collapses(capsys: pytest.CaptureFixture[str]) -> None:
    predicted = {"fog": [0, 1, 1, 1], "snow": [1, 1, 1, 1], "frost": [0, 0, 0, 0]}
    engine = create_adaptation_engine(lambda engine, batch: {"y_pred": torch.eye(2)[predicted[batch["task"]]]})
    load_part(f"{EXAMPLES}/my_handler.py:ClassShares", key="example")(["cat", "dog"], collapsed=0.9).attach(engine)
    engine.run([{"task": task, "first": True, "last": True} for task in predicted], max_epochs=1)
    assert capsys.readouterr().out.splitlines() == [
        "fog: cat 25%, dog 75%",
        "snow: cat 0%, dog 100%",
        "snow: the model has collapsed to class dog",
    ]


# The family


def test_my_family_runs(tmp_path: Path) -> None:
    rows, description = run(tmp_path, f"transformer.family={FAMILY}", "path=null", "data.corruptions=[fog]")
    assert rows[0]["images"] == 32
    assert description["own_parts"].keys() == {FAMILY}
    assert "path:\n  name: circle\n" in (tmp_path / "x" / "config.yaml").read_text()


def test_my_family_drops_a_head(tmp_path: Path) -> None:
    guide = guide_of(load_config(CONFIGS / "digits.yaml"))
    assert guide is not None
    torch.save({**guide.transformer.state_dict(), "alignment.weight": torch.zeros(3)}, tmp_path / "mine.pt")
    overrides = ["path=null", f"transformer.checkpoint={tmp_path / 'mine.pt'}"]
    guide_of(load_config(CONFIGS / "digits.yaml", [*overrides, f"transformer.family={FAMILY}"]))
    with pytest.raises(CheckpointError, match=r"alignment\.weight"):
        guide_of(load_config(CONFIGS / "digits.yaml", overrides))


def test_my_familys_path() -> None:
    path = load_part(FAMILY, key="transformer.family").paths["circle"]
    x0, z = torch.rand(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    x_t, target, time = path(x0, z, torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    assert x_t.dtype == x0.dtype
    torch.testing.assert_close(x_t, torch.stack([x0[0], (x0[1] + z[1]) / math.sqrt(2), z[2]]))
    assert torch.equal(target, z)
    assert time.tolist() == [999, 499.5, 0]


# The pictures and folders of other pages


def test_fashion_as_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, count in (("train", 20), ("t10k", 10)):
        pixels, labels = np.zeros((count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10
        pixels[:, 0, 0] = np.arange(count)
        for kind, header, array in (("images-idx3", 16, pixels), ("labels-idx1", 8, labels)):
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(bytes(header) + array.tobytes()))
    script = (
        (EXAMPLES / "fashion.py")
        .read_text(encoding="utf-8")
        .replace("/usr/share/datasets/fashion-mnist", str(tmp_path))
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "fashion.py", "exec"), {})
    assert np.array(Image.open("fashion/clean/boot/00019.png"))[0, 0] == 19
    assert np.array(Image.open("fashion/new/trouser/00001.png"))[0, 0] == 1
    assert len(list(Path("fashion/clean").glob("*/*.png"))) == 20
    assert np.array(Image.open("fashion/shifted/00001.png")).mean() == pytest.approx(40, abs=5)


def test_picture_of_the_first_batches(tmp_path: Path) -> None:
    rows = ["task,label,predicted", *(f"fog/5,{index % 10},{index % 2}" for index in range(400)), "snow/5,0,7"]
    (tmp_path / "predictions.csv").write_text("\n".join(rows), encoding="utf-8")
    shares, names = load_part(f"{EXAMPLES}/first_batches.py:shares", key="example")(tmp_path, "fog/5", "predicted")
    assert names == ["0", "1"]
    assert shares.shape == (2, 12)
    assert np.all(shares == 0.5)
    load_part(f"{EXAMPLES}/first_batches.py:draw", key="example")("fog/5", tmp_path / "x.png", [tmp_path])
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


# The page


def test_the_page_shows_these_files() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    shown = re.findall(r'^--8<-- "(.+)"$', page, flags=re.MULTILINE)
    assert sorted(shown) == sorted(str(path.relative_to(ROOT)) for path in EXAMPLES.glob("my_*.py"))
    for reference in re.findall(r"docs/examples/\w+\.py:\w+", page):
        load_part(f"{ROOT}/{reference}", key="page")
    for path in EXAMPLES.glob("my_*.py"):
        assert len(path.read_text().splitlines()) < 100
