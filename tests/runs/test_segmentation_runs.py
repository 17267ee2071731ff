"""Whole runs that segment, on tiny models of the real families: what must not depend on how they are computed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.files import ROOT
from support.interruptions import interrupt_after
from support.segmentation_runs import TASKS, configure, outcome, write_data, write_models
from support.tiny_diffusion import CLASSES
from transformers import AutoModelForSemanticSegmentation

from dusa_ignite.config import Config
from dusa_ignite.distributed.launch import launch
from dusa_ignite.errors import ConfigError, DataError, Interrupted
from dusa_ignite.results.pixel_predictions import read_counts
from dusa_ignite.results.predictions import read_columns
from dusa_ignite.results.rows import read_csv
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.segmentation.load_segmenter import load_segmenter
from dusa_ignite.segmentation.scores import mean_iou

BASELINES = {  # method: options
    "source": [],
    "bn": [],
    "tent": ["classifier.trainable=norm"],
    "eata": ["classifier.trainable=norm", "method.beta=0", "method.entropy_margin=2", "method.redundancy_margin=1.1"],
    "sar": ["classifier.trainable=norm", "method.entropy_margin=2"],
    "pixel_cotta": ["method.scales=[1.0, 1.5]"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def peace(models: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts; its adapted segmenters are kept."""
    folder = tmp_path_factory.mktemp("peace")
    adapt(0, configure(models, data, folder, "export=classifier", "norm_ema.decay=0.9"))
    return folder


def counts_of(folder: Path, column: str = "counts") -> dict[str, np.ndarray]:
    """Every task's (N, 3, C)."""
    found: dict[str, list[np.ndarray]] = {}
    for task, text in read_columns(folder / "run" / "predictions.csv", ("task", column)):
        found.setdefault(task, []).append(read_counts(text, num_classes=len(CLASSES)))
    return {task: np.stack(counts) for task, counts in found.items()}


def test_scores_maps_and_counts_say_the_same(peace: Path, data: Path) -> None:
    rows = {row["task"]: row for row in read_csv(peace / "run" / "results.csv")}
    counts, by_source = counts_of(peace), counts_of(peace, "source_counts")
    for task, number in TASKS.items():
        assert rows[task]["images"] == len(counts[task]) == number
        assert rows[task]["miou"] == pytest.approx(mean_iou(counts[task].sum(axis=0)), abs=1e-9)
        assert rows[task]["source_miou"] == pytest.approx(mean_iou(by_source[task].sum(axis=0)), abs=1e-9)
    for task, index, place, text in read_columns(peace / "run" / "predictions.csv", ("task", "index", "map", "counts")):
        truth = np.array(Image.open(data / "masks" / task / f"{index}.png"))
        predicted = np.array(Image.open(peace / "run" / place))
        assert predicted.shape == truth.shape
        right, labelled, chosen = read_counts(text, num_classes=len(CLASSES))
        known = truth != 255
        for label in range(len(CLASSES)):
            assert right[label] == ((predicted == label) & (truth == label)).sum()
            assert labelled[label] == (truth == label).sum()
            assert chosen[label] == ((predicted == label) & known).sum()


def test_a_report_shows_scores_and_maps(peace: Path) -> None:
    page = (peace / "run" / "report.html").read_text(encoding="utf-8")
    for text in ("mIoU, mean of the tasks", "IoU by class", "Label maps", "same as source:", *CLASSES):
        assert text in page
    assert page.count("<img ") == 3 * sum(TASKS.values())
    assert "Shares of the classes" not in page


def test_the_update_does_something(peace: Path) -> None:
    lines = (peace / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == sum(TASKS.values())
    assert all(row["loss"] > 0 for row in read_csv(peace / "run" / "results.csv"))
    assert all(row["agreement"] < 1 for row in read_csv(peace / "run" / "results.csv")[:-1])


def test_a_reset_run_is_a_fresh_one(peace: Path, models: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "alone" / "images").mkdir(parents=True)
    (tmp_path / "alone" / "masks").mkdir()
    for kind in ("images", "masks"):
        (tmp_path / "alone" / kind / "snow").symlink_to(data / kind / "snow")
    adapt(0, configure(models, tmp_path / "alone", tmp_path / "out", "norm_ema.decay=0.9"))
    (alone, *_), _, maps = outcome(tmp_path / "out")
    rows, _, all_maps = outcome(peace)
    assert alone == next(row for row in rows if row["task"] == "snow")
    assert maps == {name: content for name, content in all_maps.items() if "/snow/" in name}


@pytest.mark.parametrize("updates", [2, 4])
def test_stopped_and_gone_on_with(
    peace: Path, models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    config = configure(models, data, tmp_path, "norm_ema.decay=0.9")
    with monkeypatch.context() as patch:
        interrupt_after(updates, patch)
        with pytest.raises(Interrupted):
            adapt(0, config)
    adapt(0, config)
    assert outcome(tmp_path) == outcome(peace)


@pytest.mark.slow
def test_killed_and_gone_on_with(peace: Path, models: Path, data: Path, tmp_path: Path) -> None:
    configure(models, data, tmp_path)
    command = [
        sys.executable, str(ROOT / "tests" / "support" / "run_and_die.py"), "--config", str(tmp_path / "config.yaml"),
        "norm_ema.decay=0.9", "checkpoint.every_updates=1",
    ]  # fmt: skip
    death = {"DIE_RANK": "0", "DIE_UPDATE": "2", "DIE_SIGNAL": "SIGKILL", "DIE_MARK": str(tmp_path / "mark")}
    codes = [subprocess.run(command, cwd=ROOT, env={**os.environ, **death}, timeout=200).returncode for _ in range(2)]
    assert codes == [-9, 0]
    assert outcome(tmp_path) == outcome(peace)


@pytest.mark.parametrize("method", ["window_dusa", pytest.param("bn", marks=pytest.mark.slow)])
def test_two_processes_are_one(models: Path, tmp_path: Path, method: str) -> None:
    data = tmp_path / "data"
    for kind in ("images", "masks"):  # of one size, so that a batch may hold three
        (data / kind / "fog").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (32, 40, 3), dtype=np.uint8)).save(data / f"images/fog/{number}.png")
        Image.fromarray(rng.integers(0, 6, (32, 40), dtype=np.uint8)).save(data / f"masks/fog/{number}.png")
    options = ["data.batch_size=3", f"method.name={method}", "distributed.timeout_minutes=5", "run.num_threads=1"]
    adapt(0, configure(models, data, tmp_path / "one", *options))
    assert launch(adapt, configure(models, data, tmp_path / "two", *options), nproc=2, timeout=5) == 0
    one, two = outcome(tmp_path / "one"), outcome(tmp_path / "two")
    assert one[1:] == two[1:]
    for row, other in zip(one[0], two[0], strict=True):
        assert row == pytest.approx(other, abs=1e-9)


def test_unlabelled_images_have_maps_but_no_scores(models: Path, data: Path, tmp_path: Path) -> None:
    adapt(0, configure(models, data / "images", tmp_path))
    header, *_ = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert {"miou", "pixel_accuracy", "source_miou", "top1"}.isdisjoint(header.split(","))
    assert "agreement" in header
    maps = sorted((tmp_path / "run" / "predictions").rglob("*.png"))
    assert len(maps) == sum(TASKS.values())
    assert not np.concatenate([counts.ravel() for counts in counts_of(tmp_path).values()]).any()


def test_an_export_is_a_folder_of_transformers(peace: Path) -> None:
    folder = peace / "run" / "export" / "snow"
    exported = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    assert tuple(exported.config.id2label.values()) == CLASSES
    assert "transformers by itself takes the source's statistics" in (peace / "run" / "log.txt").read_text()
    segmenter = load_segmenter(str(folder), short_side=32, batch_norm="source")
    image = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        assert torch.equal(exported(segmenter.view(image)).logits, segmenter(image))


@pytest.mark.parametrize("method", BASELINES)
def test_baselines_run_in_the_same_harness(models: Path, data: Path, tmp_path: Path, method: str) -> None:
    adapt(0, configure(models, data, tmp_path, f"method.name={method}", *BASELINES[method]))
    rows = read_csv(tmp_path / "run" / "results.csv")
    assert all(0 < row["miou"] < 1 for row in rows)
    agreement = [row.get("agreement", 1.0) for row in rows]
    assert ("agreement" not in rows[0]) == (method == "source")
    assert (min(agreement) == 1) == (method == "source")


def test_images_that_differ_in_size_come_one_by_one(models: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set data\.batch_size=1"):
        adapt(
            0, configure(models, data, tmp_path, "data.batch_size=3", "method.name=tent", "classifier.trainable=norm")
        )


def test_other_classes_or_another_order_are_refused(models: Path, data: Path, tmp_path: Path) -> None:
    wall, sky, *others = CLASSES
    with pytest.raises(ConfigError, match=r"data\.classes: 2 of 6 .*0 is 'sky' in the data, 'wall' there"):
        adapt(0, configure(models, data, tmp_path, f"data.classes={[sky, wall, *others]}"))
    with pytest.raises(ConfigError, match=r"classifier\.num_classes: 6, but the data have 5"):
        adapt(0, configure(models, data, tmp_path, f"data.classes={[wall, sky, *others[1:]]}"))
    named = configure(models, data, tmp_path / "named", f"data.classes={['brick wall', sky, *others]}")
    adapt(0, named)
    assert "which calls 1 of them otherwise" in (tmp_path / "named" / "run" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("problem=classification", "method.name: 'window_dusa' is not for classification; allowed: dusa | dusa_u"),
        ("method.name=lame", "method.name: 'lame' is not for segmentation; allowed: source | bn | tent | eata | sar"),
        ("data={name: digits}", "data.name: 'digits' is not for segmentation; allowed: ade20k | ade20k_c"),
        ("classifier.name=resnet50", "classifier.name: 'resnet50' is no segmenter; allowed: transformers:<folder"),
        ("classifier.image_size=null", "classifier.image_size: missing; segmentation resizes"),
        ("method.window=64", "method.window: 64 is more than the 32 pixels of the images' shorter side"),
        ("unet=null", "unet: missing, but method.name=window_dusa needs one"),
        ("setting=correlated", "setting: 'correlated' is not allowed: it needs one label per image"),
        ("data.score_over=present", "data.score_over: 'present' is not allowed"),
        ("distributed.strategy=fsdp", "distributed.strategy: 'fsdp' is not allowed"),
        ("unet.prompt=a photo", "unet.prompt: 'a photo' has no {class} in it"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, override: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(tmp_path, tmp_path, tmp_path, override)
    assert line in str(caught.value)


def test_a_config_travels(tmp_path: Path) -> None:
    config = configure(tmp_path, tmp_path, tmp_path)
    assert isinstance(config, Config)
    assert (config.problem, config.vae.pretrained is None) == ("segmentation", False)
