"""Reading predictions.csv by the names of its columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from dusa_ignite.results.predictions import pairs_text, read_columns, read_pairs


def test_columns_come_in_the_order_asked_for_and_missing_ones_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text('task,index,label\n"a,\nb",3,1\nfog,4,-1\n')
    assert list(read_columns(path, ("label", "path", "task"))) == [("1", "", "a,\nb"), ("-1", "", "fog")]


def test_a_line_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text("task,index\nfog,4\nfog\n")
    with pytest.raises(ValueError, match="line 3 has 1 cells, the header 2"):
        list(read_columns(path, ("task",)))


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    assert list(read_columns(tmp_path / "x.csv", ("task",))) == []


def test_pairs() -> None:
    assert pairs_text([3, 12], [0.8, 0.125], digits=".4f") == "3:0.8000 12:0.1250"
    assert read_pairs("3:0.8000 12:0.1250") == [(3, 0.8), (12, 0.125)]
    assert pairs_text([], [], digits=".4f") == ""
    assert read_pairs("") == []
