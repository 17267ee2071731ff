"""Grids: which runs they consist of, and which value is best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.written_runs import DIGITS, SEGMENTS, write_run, write_segmentation_run

from dusa_ignite.comparison.tuning import Tuning, parse_grid, parse_grids, plan_tuning, write_tuning
from dusa_ignite.errors import ConfigError, DataError


def plan(folder: Path, **options: Any) -> Tuning:
    grid = {"methods": "source,tent,frozen=dusa", "grids": ["optimizer.lr=1e-4,1e-3,1e-2"], "seeds": "0,1"}
    return plan_tuning(DIGITS, **{**grid, "output": folder, **options})


def test_a_run_per_method_value_and_seed(tmp_path: Path) -> None:
    tuning = plan(tmp_path, own_overrides=["frozen:transformer.trainable=false"], overrides=["data.severities=[3]"])
    assert tuning.trials == {
        "tent": ["tent-1e-4", "tent-1e-3", "tent-1e-2"],
        "frozen": ["frozen-1e-4", "frozen-1e-3", "frozen-1e-2"],
    }
    runs = {(run.label, run.seed): run.config for run in tuning.plan.runs}
    assert len(runs) == 2 * (1 + 6)
    assert [label for label, seed in runs if seed == 0] == ["source", *tuning.trials["tent"], *tuning.trials["frozen"]]
    config = runs["frozen-1e-3", 1]
    assert (config.method.name, config.optimizer.lr, config.seed) == ("dusa", 1e-3, 1)
    assert config.transformer is not None
    assert not config.transformer.trainable
    assert all(config.data.severities == (3,) for config in runs.values())  # type: ignore[union-attr]


def test_the_best_and_the_ends_of_the_grid(tmp_path: Path) -> None:
    right = {"source": "+---", "tent-1e-4": "++--", "tent-1e-3": "+++-", "tent-1e-2": "+---"}
    right |= {"frozen-1e-4": "----", "frozen-1e-3": "+++-", "frozen-1e-2": "++++"}
    for label, marks in right.items():
        for seed in (0, 1):
            name = label.partition("-")[0].replace("frozen", "dusa")
            lr = label.partition("-")[2]
            overrides = ["data.severities=[3]", *([f"optimizer.lr={lr}"] if lr else [])]
            write_run(tmp_path / f"{label}_seed{seed}", {"fog/3": marks}, seed=seed, method=name, overrides=overrides)
    tuning = plan(tmp_path, overrides=["data.severities=[3]"])
    text = write_tuning(tuning, command="python launch/tune.py")
    lines = text.splitlines()
    assert lines[0].split() == ["top-1", "(%)", "by", "optimizer.lr", "1e-4", "1e-3", "1e-2"]
    assert lines[2].split() == ["tent", "50.00", "75.00*", "25.00"]
    assert lines[3].split() == ["frozen", "0.00", "75.00", "100.00*"]
    assert lines[5].split() == ["minus", "the", "best", "[95%]", "1e-4", "1e-3", "1e-2"]
    assert lines[7].split()[:3] == ["tent", "-25.00", "[-75.00,"]  # one image of four, drawn up to three times
    assert lines[7].endswith("best  -50.00 [-100.00, +0.00]")
    assert lines[8].split()[:4] == ["frozen", "-100.00", "[-100.00,", "-100.00]"]
    assert "digits, severity 3, seeds 0, 1; mean over tasks and seeds; * = best. Source: 25.00." in lines
    assert "Best: --set tent:optimizer.lr=1e-3 --set frozen:optimizer.lr=1e-2" in lines
    assert "At an end of the grid, so that a wider one might do better: frozen." in lines
    table = (tmp_path / "tuning.md").read_text()
    assert table.startswith("```bash\npython launch/tune.py\n```\n\n| top-1 (%) by optimizer.lr | 1e-4 | 1e-3 | 1e-2 |")


def test_segmentation_is_tuned_by_miou(tmp_path: Path) -> None:
    images = {"source": "aabb:abba", "tent-1e-4": "aabb:aaab", "tent-1e-3": "aabb:aabb"}
    for label, image in images.items():
        lr = [f"optimizer.lr={label[5:]}"] if label != "source" else []
        folder = tmp_path / f"{label}_seed0"
        write_segmentation_run(folder, {"fog/5": [image] * 3}, method=label.partition("-")[0], overrides=lr)
    grids = ["optimizer.lr=1e-4,1e-3"]
    tuning = plan_tuning(SEGMENTS, methods="tent", grids=grids, seeds="0", output=tmp_path)
    lines = write_tuning(tuning, command="").splitlines()
    assert lines[0] == "mIoU (%) by optimizer.lr    1e-4     1e-3"
    assert lines[2].split() == ["tent", "58.33", "100.00*"]  # (2/3 + 1/2) / 2
    assert lines[6].split() == ["tent", "-41.67", "[-41.67,", "-41.67]", "best"]
    assert "mask_folder, seeds 0; mean over tasks and seeds; * = best. Source: 33.33." in lines  # 1/3 both
    assert "A task's mIoU is that of its pixels counted over all images together." in lines


def test_runs_that_failed_have_no_number(tmp_path: Path) -> None:
    for label in ("source", "tent-1e-4", "tent-1e-3"):
        lr = label.partition("-")[2]
        overrides = [f"optimizer.lr={lr}"] if lr else []
        write_run(tmp_path / f"{label}_seed0", {"fog/5": "+-"}, method=label.partition("-")[0], overrides=overrides)
    (tmp_path / "tent-1e-3_seed0" / "summary.json").unlink()
    tuning = plan(tmp_path, methods="tent", seeds="0")
    lines = write_tuning(tuning, command="").splitlines()
    assert lines[2].split() == ["tent", "50.00*", "failed", "failed"]
    assert "failed = stopped by updates that were not finite, or for another reason in the run's log." in lines
    (tmp_path / "tent-1e-4_seed0" / "summary.json").unlink()
    with pytest.raises(DataError, match="tent: every run failed"):
        write_tuning(tuning, command="")


def test_of_several_grids_every_combination(tmp_path: Path) -> None:
    grids = ["optimizer.lr=1e-4,1e-3,1e-2", "data.batch_size=8,64"]
    tuning = plan(tmp_path, methods="tent", grids=grids, seeds="0")
    assert tuning.combinations == [(lr, size) for lr in ("1e-4", "1e-3", "1e-2") for size in ("8", "64")]
    runs = {run.label: run.config for run in tuning.plan.runs}
    assert list(runs) == ["source", *(f"tent-{lr}-{size}" for lr, size in tuning.combinations)]
    assert (runs["tent-1e-3-8"].optimizer.lr, runs["tent-1e-3-8"].data.batch_size) == (1e-3, 8)
    write_run(tmp_path / "source_seed0", {"fog/5": "+-"})
    for (lr, size), marks in zip(tuning.combinations, ["--", "--", "-+", "++", "--", "--"], strict=True):
        overrides = [f"optimizer.lr={lr}", f"data.batch_size={size}"]
        write_run(tmp_path / f"tent-{lr}-{size}_seed0", {"fog/5": marks}, method="tent", overrides=overrides)
    lines = write_tuning(tuning, command="").splitlines()
    assert lines[0].startswith("top-1 (%) by optimizer.lr, data.batch_size  1e-4, 8")
    assert "Best: --set tent:optimizer.lr=1e-3 --set tent:data.batch_size=64" in lines
    assert "At an end of the grid of data.batch_size, so that a wider one might do better: tent." in lines
    assert not any("grid of optimizer.lr" in line for line in lines)


def test_two_grids_of_one_option_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--grid optimizer\.lr=3,4: optimizer\.lr has a grid already; write all its"):
        parse_grids(["optimizer.lr=1,2", "optimizer.lr=3,4"])


def test_runs_on_other_images_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "source_seed0", {"fog/5": "+-"})
    for lr, marks in (("1e-4", "+-"), ("1e-3", "+-+"), ("1e-2", "+-")):
        write_run(tmp_path / f"tent-{lr}_seed0", {"fog/5": marks}, method="tent", overrides=[f"optimizer.lr={lr}"])
    with pytest.raises(DataError, match=r"saw different images \(fog/5: 2 and 3 of them\); they cannot be compared"):
        write_tuning(plan(tmp_path, methods="tent", seeds="0"), command="")


@pytest.mark.parametrize("text", ["optimizer.lr", "optimizer.lr=", "optimizer.lr=1", "optimizer.lr=1,1", "=1,2"])
def test_wrong_grids(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write section\.key=value,value,\.\.\. with at least two different values"):
        parse_grid(text)


def test_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr: -1 should be greater than or equal to 0"):
        plan(tmp_path, grids=["optimizer.lr=1,-1"])
    with pytest.raises(ConfigError, match=r"--set sar:optimizer\.lr=1: 'sar' is not among the methods; allowed: tent"):
        plan(tmp_path, own_overrides=["sar:optimizer.lr=1"])
    with pytest.raises(ConfigError, match=r"--methods source: Source adapts nothing"):
        plan(tmp_path, methods="source")
