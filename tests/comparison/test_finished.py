"""Finished runs read back: what images add to the score, and files that are not what a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_runs import write_run, write_segmentation_run

from dusa_ignite.comparison.finished import read_run
from dusa_ignite.errors import DataError
from dusa_ignite.results.score import MIOU, TOP1


def test_images_that_are_classified(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", {"fog/5": "+-+"}, order=[2, 1, 0]), label="x")
    stream = run.streams["fog/5"]
    assert (run.score, stream.score, len(stream)) == (TOP1, TOP1, 3)
    assert stream.index.tolist() == [2, 1, 0]
    assert stream.sums.tolist() == [[1, 1], [0, 1], [1, 1]]
    assert stream.scored() == 2 / 3
    assert stream.scored(slice(1, None)) == 1 / 2


def test_images_that_are_segmented(tmp_path: Path) -> None:
    images = ["ab.:abb", "..:ab", "aabb:abbb"]  # the second has no labelled pixel
    run = read_run(write_segmentation_run(tmp_path / "run", {"fog/5": images}, order=[2, 1, 0]), label="x")
    stream = run.streams["fog/5"]
    assert (run.score, stream.score, len(stream)) == (MIOU, MIOU, 2)
    assert stream.index.tolist() == [2, 0]
    assert stream.sums.tolist() == [[1, 2, 2, 2, 1, 3], [1, 1, 1, 1, 1, 1]]  # right, labelled, predicted
    assert stream.scored() == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert run.rows["fog/5"]["miou"] == pytest.approx(stream.scored())
    assert "top1" not in run.rows["fog/5"]


def test_segmentation_without_labels(tmp_path: Path) -> None:
    one = write_segmentation_run(tmp_path / "one", {"fog/5": ["ab:ab"], "snow/5": ["..:ab"]})
    with pytest.raises(DataError, match=r"one: snow/5 has no labels; without them methods cannot be compared"):
        read_run(one, label="x")
    none = write_segmentation_run(tmp_path / "none", {"fog/5": ["..:ab"]})
    with pytest.raises(DataError, match=r"none: fog/5 has no labels; without them methods cannot be compared"):
        read_run(none, label="x")


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ("2:1/1/1", "'2:1/1/1' is no class:right/labelled/predicted of 2 classes"),
        ("0:1/1", "'0:1/1' is no class:right/labelled/predicted of 2 classes"),
        ("x", "invalid literal for int() with base 10: ''"),
    ],
)
def test_counts_that_no_run_writes(tmp_path: Path, counts: str, reason: str) -> None:
    folder = write_segmentation_run(tmp_path / "run", {"fog/5": ["ab:ab"]})
    (folder / "predictions.csv").write_text(f"task,index,counts\nfog/5,0,{counts}\n")
    with pytest.raises(DataError) as caught:
        read_run(folder, label="x")
    assert str(caught.value) == f"{folder / 'predictions.csv'}: not as a run writes it ({reason}); run again"
