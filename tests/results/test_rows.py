"""Rows, their mean, and the files and tables they are written to."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from dusa_ignite.errors import DataError
from dusa_ignite.results import rows as results
from dusa_ignite.results.rows import mean_row, overall, read_csv, write_csv, write_json
from dusa_ignite.results.tables import comparison_table, results_table, text_table

FOG = {
    "task": "fog/5",
    "images": 1000,
    "top1": 0.5,
    "ece": 0.125,
    "loss": 1.5,
    "seconds": 10.0,
    "images_per_second": 100.0,
    "skipped_updates": 1,
    "unreadable": 0,
}
SNOW = {
    "task": "snow/5",
    "images": 10,
    "top1": 0.1,
    "ece": math.nan,
    "loss": math.nan,
    "seconds": 2.5,
    "images_per_second": 4.0,
    "skipped_updates": 2,
    "unreadable": 3,
}
CSV = """\
task,images,top1,top5,ece,ema_top1,source_top1,agreement,loss,seconds,images_per_second,skipped_updates,unreadable,\
warnings,rollbacks
fog/5,1000,0.5,,0.125,,,,1.5,10,100,1,0,,
snow/5,10,0.1,,,,,,,2.5,4,2,3,,
mean,1010,0.3,,0.125,,,,1.5,12.5,80.8,3,3,,
"""
TABLE = """\
task    images   top1    ece    loss  seconds  images_per_second  skipped_updates  unreadable
------  ------  -----  -----  ------  -------  -----------------  ---------------  ----------
fog/5     1000  50.00  12.50  1.5000     10.0              100.0                1           0
snow/5      10  10.00      -       -      2.5                4.0                2           3
------  ------  -----  -----  ------  -------  -----------------  ---------------  ----------
mean      1010  30.00  12.50  1.5000     12.5               80.8                3           3"""


def test_mean_row() -> None:
    assert mean_row([FOG, SNOW]) == {
        "task": "mean",
        "images": 1010,
        "top1": 0.3,  # tasks weigh the same, whatever their size
        "ece": 0.125,  # of the one task that has it
        "loss": 1.5,
        "seconds": 12.5,
        "images_per_second": 80.8,  # 1010 images in 12.5 s
        "skipped_updates": 3,
        "unreadable": 3,
    }


def test_overall_weighs_every_image_the_same() -> None:
    updates = [
        {"task": "fog/5", "images": 900, "update_loss": 1.0},
        {"task": "fog/5", "images": 1000, "update_loss": 2.0},
        {"task": "snow/5", "images": 0, "update_loss": 9.0},  # none of the batch could be read
        {"task": "snow/5", "images": 10, "update_loss": None},  # not finite
    ]
    assert overall([{**FOG, "top5": 0.75}, SNOW], updates) == {
        "images": 1010,
        "top1": 501 / 1010,  # 500 of 1000 and 1 of 10
        "top5": 0.75,  # of the one task that has it
        "loss": 1.1,  # 900 images at 1 and 100 at 2
    }
    assert overall([{"images": 5, "top1": math.nan}], []) == {"images": 5}


def test_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "results.csv", [FOG, SNOW])
    assert (tmp_path / "results.csv").read_bytes() == CSV.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_without_labels_there_are_no_columns_that_need_them(tmp_path: Path) -> None:
    row = {"task": "fog", "images": 4, "top1": math.nan, "agreement": 0.5, "seconds": 2.0, "images_per_second": 2.0}
    write_csv(tmp_path / "results.csv", [row])
    header, line, _ = (tmp_path / "results.csv").read_text().splitlines()
    assert (
        header == "task,images,agreement,loss,seconds,images_per_second,skipped_updates,unreadable,warnings,rollbacks"
    )
    assert line == "fog,4,0.5,,2,2,,,,"
    assert read_csv(tmp_path / "results.csv")[0]["agreement"] == 0.5


def test_csv_keeps_nine_digits(tmp_path: Path) -> None:
    write_csv(tmp_path / "results.csv", [{**FOG, "top1": 1 / 3, "loss": 1.23456789012e-17}])
    (row, mean) = read_csv(tmp_path / "results.csv")
    assert row["top1"] == mean["top1"] == 0.333333333
    assert row["loss"] == 1.23456789e-17


def test_names_with_commas_and_quotes_survive(tmp_path: Path) -> None:
    name = 'rain, "heavy"\nor so'
    write_csv(tmp_path / "results.csv", [{**FOG, "task": name}])
    assert read_csv(tmp_path / "results.csv")[0]["task"] == name


def test_read_csv(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(CSV)
    rows = read_csv(tmp_path / "results.csv")
    assert rows[0] == FOG
    assert rows[1] == {name: value for name, value in SNOW.items() if name not in ("ece", "loss")}
    assert rows[2] == mean_row([FOG, SNOW])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no results; give the folder of a run in which a task has completed"),
        ("task,images\n", "holds no results; give the folder of a run in which a task has completed"),
        ("a,b\n1,2\n", "holds no results; give the folder of a run in which a task has completed"),
        ("task,images\nfog,1\nsnow,many\n", "line 3: not as a run writes it (could not convert string"),
        ("task,images\nfog,1,2\n", "line 2: not as a run writes it"),
        (None, "cannot be read (Is a directory)"),
    ],
)  # fmt: skip
def test_files_that_hold_no_results(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "results.csv"
    path.mkdir() if text is None else path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_json(tmp_path: Path) -> None:
    content: dict[str, Any] = {"b": math.nan, "a": [1, (math.inf, 2.5)], "c": {"d": -math.inf, "e": None, "f": "é"}}
    write_json(tmp_path / "summary.json", content)
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text) == {"b": None, "a": [1, [None, 2.5]], "c": {"d": None, "e": None, "f": "é"}}
    assert text.startswith('{\n  "b": null,')
    assert text.endswith("}\n")


def broken(*_: Any) -> Any:
    raise OSError("no space left on device")


@pytest.mark.parametrize("name", ["results.csv", "summary.json"])
@pytest.mark.parametrize("when", ["while writing", "on syncing", "on replacing"])
def test_the_old_file_stays_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    def write(row: dict[str, Any]) -> None:
        write_csv(tmp_path / name, [row]) if name == "results.csv" else write_json(tmp_path / name, row)

    write(FOG)
    before = (tmp_path / name).read_bytes()
    if when == "on replacing":
        monkeypatch.setattr(os, "replace", broken)
    elif when == "on syncing":
        monkeypatch.setattr(os, "fsync", broken)
    else:
        monkeypatch.setattr(results, "_csv" if name == "results.csv" else "_strict", broken)
    with pytest.raises(OSError, match="no space left"):
        write(SNOW)
    assert (tmp_path / name).read_bytes() == before
    monkeypatch.undo()
    write(SNOW)
    assert (tmp_path / name).read_bytes() != before


def test_results_table() -> None:
    assert results_table([FOG, SNOW]) == TABLE


def test_text_table() -> None:
    assert text_table(["", "long header"], [["a", "1"], ["longer", "22"]]) == (
        "        long header\n------  -----------\na                 1\n------  -----------\nlonger           22"
    )


def test_comparison_table() -> None:
    source = [FOG, {**SNOW, "top1": math.nan}, mean_row([FOG])]
    dusa = [{"task": "rain/5", "top1": 1.0}, {"task": "fog/5", "top1": 0.98765}, {"task": "mean", "top1": 0.9938}]
    assert comparison_table({"source": source, "my dusa": dusa}) == (
        "top-1 (%)  source  my dusa\n"
        "---------  ------  -------\n"
        "fog/5       50.00    98.77\n"
        "snow/5          -        -\n"
        "rain/5          -   100.00\n"
        "---------  ------  -------\n"
        "mean        50.00    99.38"
    )
    unlabelled = [{"task": "day", "agreement": 0.25}, {"task": "mean", "agreement": 0.25}]
    assert comparison_table({"a": unlabelled, "b": []}).splitlines()[::2] == [
        "same as source (%)      a  b",
        "day                 25.00  -",
        "mean                25.00  -",
    ]
