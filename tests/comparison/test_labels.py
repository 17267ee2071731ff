"""Data without labels is told of before the first run."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from support.files import CONFIGS
from support.written_runs import SEGMENTS, write_run

from dusa_ignite.commands import compare, tune
from dusa_ignite.comparison import check_labels, make_plan
from dusa_ignite.comparison.plan import Plan
from dusa_ignite.errors import DataError


def planned(root: Path, output: Path) -> Plan:
    return make_plan(
        CONFIGS / "image_folder.yaml", methods="source", seeds="0", output=output, overrides=[f"data.root={root}"]
    )


def test_labels_are_asked_for_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "flat" / "1.png")
    options = ["--config", str(CONFIGS / "image_folder.yaml"), "--methods", "source,tent", "--seeds", "0"]
    options += ["--output", str(tmp_path / "runs"), f"data.root={tmp_path / 'flat'}", "classifier.trainable=norm"]
    for command, more in ((compare, []), (tune, ["--grid", "optimizer.lr=1e-4,1e-3"])):
        assert command.main([*options, *more]) == 2
        shown = capsys.readouterr()
        assert shown.err.startswith("error: data image_folder: no image of task ")
        assert "has a label, so methods cannot be compared on it" in shown.err
        assert not (tmp_path / "runs").exists()


def test_label_maps_are_labels(tmp_path: Path) -> None:
    """No image has one as a whole; the data say whether there are maps, without reading them."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
    for root in (tmp_path, tmp_path / "images"):
        plan = make_plan(
            SEGMENTS, methods="source", seeds="0", output=tmp_path / "runs", overrides=[f"data.root={root}"]
        )
        if root == tmp_path:
            check_labels(plan.runs)
            continue
        with pytest.raises(DataError) as caught:
            check_labels(plan.runs)
        assert str(caught.value) == (
            "data mask_folder: no image of task images has a label, so methods cannot be compared on it; put label "
            "maps beside its images (images/, masks/), or use dusa-ignite adapt"
        )


def test_finished_runs_need_no_data(tmp_path: Path) -> None:
    overrides = ["data.root=nowhere"]
    write_run(tmp_path / "source_seed0", {"fog/5": "+"}, config=CONFIGS / "image_folder.yaml", overrides=overrides)
    check_labels(planned(Path("nowhere"), tmp_path).runs)
