"""Runs that segment: their summaries, and the tables of them, character by character."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from support.written_runs import write_run, write_segmentation_run

from dusa_ignite.comparison import tables
from dusa_ignite.comparison.finished import FinishedRun, read_run
from dusa_ignite.comparison.plan import Plan, PlannedRun
from dusa_ignite.comparison.report import describe, write_report
from dusa_ignite.comparison.statistics import Estimate
from dusa_ignite.comparison.summary import MethodSummary, summarise
from dusa_ignite.errors import DataError
from dusa_ignite.results.score import MIOU

ALL, HALF, WORST = "aabb:aabb", "aabb:abba", "aabb:bbaa"  # of both classes IoU is 1, 1/3, 0
RUNS = {  # four images per task; by label and seed
    ("source", 0): {"gaussian_noise/5": [HALF] * 4, "fog/5": [HALF] * 4},
    ("source", 1): {"gaussian_noise/5": [HALF] * 4, "fog/5": [HALF] * 4},
    ("window_dusa", 0): {"gaussian_noise/5": [ALL] * 4, "fog/5": [ALL, ALL, ALL, WORST]},  # falls in the last quarter
    ("window_dusa", 1): {"gaussian_noise/5": [ALL, ALL, HALF, HALF], "fog/5": [ALL] * 4},
}


@pytest.fixture
def runs(tmp_path: Path) -> list[FinishedRun]:
    for (label, seed), tasks in RUNS.items():
        write_segmentation_run(tmp_path / f"{label}_seed{seed}", tasks, method=label, seed=seed)
    return [read_run(tmp_path / f"{label}_seed{seed}", label=label) for label, seed in RUNS]


@pytest.fixture
def summaries(runs: list[FinishedRun]) -> list[MethodSummary]:
    return summarise(runs, reference="source")


def test_summary(summaries: list[MethodSummary]) -> None:
    source, dusa = summaries
    assert source.score == dusa.score == MIOU
    assert source.ece is dusa.ece is None
    assert (source.guide_work, dusa.guide_work) == (0.0, None)  # a UNet's work is not counted
    assert source.scores["mean"] == pytest.approx(Estimate(1 / 3, 0.0))
    # of 8 pixels per class 8 and 6 are right; and 6 and 8; of 8 labelled and 8 predicted
    assert dusa.scores["gaussian_noise/5"] == pytest.approx(Estimate((1 + 6 / 10) / 2, 0.4 / 2**0.5))
    assert dusa.scores["fog/5"] == pytest.approx(Estimate((6 / 10 + 1) / 2, 0.4 / 2**0.5))
    assert dusa.collapsed == {"fog/5": 1, "gaussian_noise/5": 1}
    assert dusa.differences is not None
    assert dusa.differences["fog/5"].difference == pytest.approx(14 / 18 - 1 / 3)  # both seeds' pixels together
    assert dusa.differences["mean"].difference == pytest.approx(14 / 18 - 1 / 3)


def test_no_level_of_chance(tmp_path: Path) -> None:
    paths = [write_segmentation_run(tmp_path / m, {"fog/5": [WORST]}, method=m) for m in ("source", "window_dusa")]
    for summary in summarise([read_run(path, label=path.name) for path in paths], reference="source"):
        assert (summary.scores["mean"].mean, summary.below_chance, summary.flagged) == (0.0, {}, set())


def test_console_tables(summaries: list[MethodSummary]) -> None:
    assert tables.console_table(tables.score_grid(summaries, tables.CONSOLE)) == (
        "mIoU (%)         gauss         fog       mean\n"
        "-----------  ----------  ----------  ---------\n"
        "source        33.3±0.0    33.3±0.0   33.3±0.0\n"
        "window_dusa  80.0±28.3!  80.0±28.3!  80.0±0.0!"
    )
    lines = tables.console_table(tables.cost_grid(summaries, tables.CONSOLE, reference="source")).splitlines()
    assert lines[0].split() == ["method", "minus", "source", "[95%]", "images/s", "GiB", "skipped", "collapse"]
    assert lines[2].split() == ["source", "-", "2.0±0.0", "1.00", "4", "-"]
    assert lines[3].split()[:2] == ["window_dusa", "+44.44"]
    assert lines[3].endswith("2.0±0.0  1.00        4  gauss (1 of 2 seeds), fog (1 of 2 seeds)")


def test_csv_has_no_columns_of_classification(summaries: list[MethodSummary]) -> None:
    source, dusa = csv.DictReader(tables.csv_table(summaries).splitlines())
    assert list(dusa)[:4] == ["method", "seeds", "miou gaussian_noise/5", "miou_std gaussian_noise/5"]
    assert float(dusa["miou fog/5"]) == pytest.approx(0.8)
    assert float(dusa["difference fog/5"]) == pytest.approx(4 / 9)
    assert dusa["collapsed"] == "gaussian_noise/5:1 fog/5:1"
    assert not [name for name in dusa if name.startswith(("top1", "ece", "below_chance"))]
    assert float(source["images_per_second"]) == 2.0


def test_notes(runs: list[FinishedRun]) -> None:
    notes = describe(runs, reference="source")
    assert notes[0] == "mask_folder, severity 5, setting fully, transformers:nowhere; 4 labelled images per task."
    assert notes[1].startswith("mIoU, mean ± standard deviation over seeds 0, 1.")
    assert notes[3:] == [
        "A task's mIoU is that of its pixels counted over all images, and for differences over all seeds, together.",
        "! = collapsed: mIoU on the task's final quarter below half of Source's, or more than 10 points below the "
        "method's own first quarter while Source's is not. mIoU is not compared with chance: guessing has no one level "
        "of it.",
    ]
    alone = describe([run for run in runs if run.seed == 0], reference="source")
    assert alone[3] == "A task's mIoU is that of its pixels counted over all images together."


def test_report_writes_everything(tmp_path: Path, runs: list[FinishedRun]) -> None:
    plan = Plan(tmp_path, "source", [PlannedRun(run.label, run.seed, run.config) for run in runs])
    assert write_report(plan, command="compare").startswith("mIoU (%)  ")
    assert "```\n\n| mIoU (%) | gauss | fog | mean |" in (tmp_path / "comparison.md").read_text()
    assert r"mIoU (\%) & gauss & fog & mean" in (tmp_path / "comparison.tex").read_text()
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_classification_beside_segmentation_is_refused(tmp_path: Path) -> None:
    one = read_run(write_run(tmp_path / "one", {"fog/5": "++++"}), label="source")
    two = read_run(write_segmentation_run(tmp_path / "two", {"fog/5": [ALL] * 4}, method="window_dusa"), label="dusa")
    with pytest.raises(DataError) as caught:
        summarise([one, two], reference="source")
    assert str(caught.value) == (
        f"{tmp_path / 'one'} is judged by top-1, {tmp_path / 'two'} by mIoU: classification and segmentation cannot be "
        "compared; leave one of them out"
    )
