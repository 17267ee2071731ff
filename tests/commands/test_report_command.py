"""Runs side by side on the command line."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.files import ROOT
from support.written_runs import write_run, write_segmentation_run

from dusa_ignite.commands.report import main

TABLE = """\
top-1 (%)  source   dusa
---------  ------  -----
fog/5       50.00  75.00
---------  ------  -----
mean        50.00  75.00
"""
UNKNOWN = "warning: no predictions.csv of source, dusa: whether images are the same is unknown\n"


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
    assert capsys.readouterr().out == f"{TABLE}\n{UNKNOWN}\nplot: {tmp_path / 'x.png'}\n"
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


def test_one_html_file_for_several_runs(
    report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / name, {"fog/5": "+-+-"}, method=name) for name in ("source", "dusa")]
    assert report(*runs, "--html", tmp_path / "both.html") == 0
    assert capsys.readouterr().out.endswith(f"\nreport: {tmp_path / 'both.html'}\n")
    text = (tmp_path / "both.html").read_text()
    assert "<h1>source / dusa</h1>" in text
    assert text.count('<details class="run"') == 2
    assert "minus source" in text
    assert text.count("top-1 (%)  source") == 0  # this table is one of HTML


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nowhere/x.html", "--html: {}: cannot be written (No such file or directory)"),
        ("x.pdf", "--html: {}: must end in .html"),
    ],
)
def test_html_that_cannot_be_written(
    report: Callable[..., int],
    runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    message: str,
) -> None:
    assert report(*runs, "--html", tmp_path / file) == 2
    assert capsys.readouterr().err == f"error: {message.format(tmp_path / file)}\n"


def test_images_are_read_again_from_the_data_where_it_still_is(report: Callable[..., int], tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (8, 8), "red").save(photos / "0.png")
    data = json.dumps({"name": "image_folder", "root": str(photos), "classes": list("abcdefghij")})
    folder = write_run(tmp_path / "run", {"photos": "+"}, overrides=[f"data={data}"])
    header = "task,index,label,predicted,confidence,source_predicted,source_confidence\n"
    (folder / "predictions.csv").write_text(header + "photos,0,-1,1,0.5,2,0.5\n")
    assert report(folder, "--html", tmp_path / "x.html") == 0
    assert "data:image/png;base64," in (tmp_path / "x.html").read_text()
    (photos / "0.png").unlink()
    assert report(folder, "--html", tmp_path / "x.html") == 0
    assert "The images could not be read again" in (tmp_path / "x.html").read_text()


ALIKE = """\
top-1 (%)  source    dusa
---------  ------  ------
fog/5       50.00  100.00
snow/5      50.00   50.00
---------  ------  ------
mean        50.00   75.00

minus source                     dusa
------------  -----------------------
fog/5         +50.00 [+0.00, +100.00]
snow/5          +0.00 [+0.00, +0.00]
------------  -----------------------
mean           +25.00 [+0.00, +50.00]
"""


def output(report: Callable[..., int], capsys: pytest.CaptureFixture[str], *folders: Path) -> str:
    assert report(*folders) == 0
    return capsys.readouterr().out


def test_paired_differences_of_runs_on_the_same_images(
    report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_run(tmp_path / "source", {"fog/5": "+-+-", "snow/5": "+-+-"}, order=[3, 1, 0, 2])
    dusa = write_run(tmp_path / "dusa", {"fog/5": "++++", "snow/5": "+-+-"}, method="dusa")
    printed = output(report, capsys, source, dusa)
    assert printed.split()[: len(ALIKE.split())] == ALIKE.split()
    assert "paired by image; 95% bootstrap intervals from 2000 resamples of the images." in printed
    assert "warning" not in printed


@pytest.mark.parametrize(
    ("tasks", "made_of", "warning"),
    [
        ({"fog/5": "++"}, {}, "source and dusa saw different images (fog/5: 4 and 2 of them); do not compare them"),
        (
            {"fog/5": "++++"},
            {"data_fingerprints": {"fog/5": "b"}},
            "source and dusa were run on different image files or labels (fog/5); do not compare them",
        ),
        (
            {"fog/5": "++++"},
            {"scored_over": {"over": "present", "classes": 10, "present": {"fog/5": 4}}},
            "source and dusa were scored over different classes (all against present); do not compare them",
        ),
        (
            {"fog/5": "++++"},
            {"classes": {"names": ["b", "a"]}},
            "source and dusa have other classes, or another order of them; do not compare them",
        ),
        (
            {"fog/5": "++++", "snow/5": "++++"},
            {},
            "source and dusa have different tasks: their means are not over the same",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_plainly_and_not_paired(
    report: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tasks: dict[str, str],
    made_of: dict[str, object],
    warning: str,
) -> None:
    known = {"data_fingerprints": {"fog/5": "a"}, "classes": {"names": ["a", "b"]}}
    source = write_run(tmp_path / "source", {"fog/5": "+-+-"}, **known)
    dusa = write_run(tmp_path / "dusa", tasks, method="dusa", **known | made_of)
    printed = output(report, capsys, source, dusa)
    assert f"warning: {warning}\n" in printed
    assert "minus source" not in printed
    if "scored_over" in made_of:
        assert "dusa: scored over the classes present in the task: 4 of 10\n" in printed


SEGMENTED = """\
mIoU (%)  source  window_dusa
--------  ------  -----------
fog/5      33.33       100.00
--------  ------  -----------
mean       33.33       100.00

minus source              window_dusa
------------  -----------------------
fog/5         +66.67 [+66.67, +66.67]
------------  -----------------------
mean          +66.67 [+66.67, +66.67]
Points of mIoU, paired by image; 95% bootstrap intervals from 2000 resamples of the images.
"""


def test_segmentation_is_reported_by_miou(
    report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_segmentation_run(tmp_path / "source", {"fog/5": ["aabb:abba"] * 3}, order=[2, 0, 1])
    dusa = write_segmentation_run(tmp_path / "window_dusa", {"fog/5": ["aabb:aabb"] * 3}, method="window_dusa")
    assert output(report, capsys, source, dusa) == SEGMENTED
    (dusa / "predictions.csv").write_text("task,index,counts\nfog/5,0,0:1/2/x\n")
    assert report(source, dusa) == 2
    assert "predictions.csv: not as a run writes it (invalid literal" in capsys.readouterr().err


def test_segmentation_beside_classification_is_refused(
    report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / "a", {"fog/5": "+"}), write_segmentation_run(tmp_path / "b", {"fog/5": ["ab:ab"]})]
    assert report(*runs) == 2
    assert capsys.readouterr().err == (
        "error: a is judged by top-1, b by mIoU: classification and segmentation cannot be compared; leave one of them "
        "out\n"
    )


def test_home_in_a_folders_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["~/nowhere"]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/nowhere: holds no results.csv; give the folder of a run\n"
    assert main(["~nobody_of_this_name"]) == 2
    assert "there is no user of this name" in capsys.readouterr().err
