"""Without matplotlib and tensorboard: tables all the same, and a line that says what is missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from support.written_runs import write_run

from dusa_ignite.commands.main import main
from dusa_ignite.comparison.finished import read_run
from dusa_ignite.comparison.plan import Plan, PlannedRun
from dusa_ignite.comparison.report import write_report
from dusa_ignite.errors import UserError
from dusa_ignite.handlers.tracking import check_tracking


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] == "matplotlib":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in ("dusa_ignite.results.plots", "dusa_ignite.comparison.pictures"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("no_matplotlib")
def test_a_run_draws_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["data.corruptions=[fog]", "data.limit=32", "method.name=source", "name=plain", f"output_dir={tmp_path}"]
    assert main(["adapt", "--config", "digits", *options]) == 0
    out = capsys.readouterr().out
    assert out.count("no pictures: matplotlib is not installed (pip install 'dusa_ignite[plots]')") == 1
    assert (tmp_path / "plain" / "summary.json").exists()
    assert list((tmp_path / "plain").glob("*.png")) == []


@pytest.mark.usefixtures("no_matplotlib")
def test_a_comparison_has_its_tables(tmp_path: Path) -> None:
    runs = [
        read_run(write_run(tmp_path / f"{method}_seed0", {"fog/5": "++-+"}, method=method), label=method)
        for method in ("source", "dusa")
    ]
    plan = Plan(tmp_path, "source", [PlannedRun(run.label, run.seed, run.config) for run in runs])
    text = write_report(plan, command="dusa-ignite compare")
    assert text.endswith(
        f"{tmp_path}: comparison.csv, comparison.md, comparison.tex\n"
        "no picture: matplotlib is not installed (pip install 'dusa_ignite[plots]')"
    )
    assert {path.suffix for path in tmp_path.glob("comparison.*")} == {".csv", ".md", ".tex"}


@pytest.mark.usefixtures("no_matplotlib")
def test_a_report_prints_its_table_but_cannot_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "source", {"fog/5": "++-+"})
    assert main(["report", str(run)]) == 0
    assert main(["report", str(run), "--plot", str(tmp_path / "x.png")]) == 2
    shown = capsys.readouterr()
    assert shown.out.count("fog/5") == 2
    assert shown.err.count("\n") == 1
    assert "matplotlib" in shown.err
    assert "pip install 'dusa_ignite[plots]'" in shown.err


def test_tensorboard_is_missed_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "tensorboard" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert check_tracking(clearml=None, tensorboard=False) == {"clearml": None, "tensorboard": False}
    with pytest.raises(UserError, match=r"tracking.tensorboard: .*pip install 'dusa_ignite\[tensorboard\]'"):
        check_tracking(clearml=None, tensorboard=True)
