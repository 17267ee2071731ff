"""Runs side by side on the command line."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.files import ROOT

from dusa_ignite.commands.report import main

TABLE = """\
top-1 (%)  source   dusa
---------  ------  -----
fog/5       50.00  75.00
---------  ------  -----
mean        50.00  75.00
"""


@pytest.fixture
def report() -> Callable[..., int]:
    launch = runpy.run_path(str(ROOT / "launch" / "report.py"))["main"]
    return lambda *arguments: launch([str(argument) for argument in arguments])


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    folders = []
    for name, top1 in (("source", 0.5), ("dusa", 0.75)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.csv").write_text(f"task,images,top1\nfog/5,4,{top1}\nmean,4,{top1}\n")
        folders.append(tmp_path / name)
    return folders


def test_table_and_picture(
    report: Callable[..., int], runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(*runs, "--plot", tmp_path / "x.png") == 0
    assert capsys.readouterr().out == f"{TABLE}\nplot: {tmp_path / 'x.png'}\n"
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        ("nowhere/x.png", "--plot: {}: cannot be written (No such file or directory)"),
        ("x.foo", "--plot: {}: must end in .png"),
        ("x", "--plot: {}: must end in .png"),
    ],
)
def test_pictures_that_cannot_be_written(
    report: Callable[..., int],
    runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    plot: str,
    message: str,
) -> None:
    assert report(*runs, "--plot", tmp_path / plot) == 2
    assert capsys.readouterr().err == f"error: {message.format(tmp_path / plot)}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no results; give the folder of a run in which a task has completed"),
        ("task,top1\nfog,x\n", "line 2: not as a run writes it (could not convert string to float: 'x'); run again"),
    ],
)
def test_results_that_cannot_be_read(
    report: Callable[..., int], runs: list[Path], capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = runs[1] / "results.csv"
    path.write_text(text)
    assert report(*runs) == 2
    assert capsys.readouterr().err == f"error: {path}: {message}\n"
    path.unlink()
    assert report(*runs) == 2
    assert capsys.readouterr().err == f"error: {runs[1]}: holds no results.csv; give the folder of a run\n"


def test_nothing_to_draw(
    report: Callable[..., int], runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs[0] / "results.csv").write_text("task,images,top1\nfog/5,4,\nmean,4,\n")
    assert report(runs[0], "--plot", tmp_path / "x.png") == 2
    assert capsys.readouterr().err == "error: --plot: no run has an accuracy to draw; leave it out\n"


def test_home_in_a_folders_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["~/nowhere"]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/nowhere: holds no results.csv; give the folder of a run\n"
    assert main(["~nobody_of_this_name"]) == 2
    assert "there is no user of this name" in capsys.readouterr().err
