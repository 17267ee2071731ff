"""The picture of a stream without labels."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from dusa_ignite.results import plots_unlabelled
from dusa_ignite.results.digest import Counts, Digest, Point, TaskDigest
from dusa_ignite.results.plots_unlabelled import plot_unlabelled

NAN = math.nan


def tasks(*, asked: int, agreement: float) -> Digest:
    fog = [Point(5, 0.5, 0.25, agreement, NAN, NAN), Point(10, 1.0, 0.75, agreement, NAN, NAN)]
    snow = [Point(4, 0.25, 1.0, agreement, NAN, NAN)]
    return Digest(
        {"fog": TaskDigest(10, asked, points=fog), "snow": TaskDigest(4, asked, points=snow)}, Counts(), [], 0
    )


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    kept: list[Figure] = []
    monkeypatch.setattr(plots_unlabelled, "save_figure", lambda figure, path: kept.append(figure))
    return kept


def test_tasks_stand_one_behind_the_other(tmp_path: Path, figures: list[Figure]) -> None:
    assert plot_unlabelled(tmp_path / "x.png", tasks(asked=10, agreement=0.5), marks={"snow": [2]})
    agreement, confidence, largest = figures[0].axes
    fog, snow = (line for line in confidence.lines if len(line.get_xdata()) != 2 or line.get_color() == "#ff7f0e")
    assert (list(fog.get_xdata()), list(fog.get_ydata())) == ([5, 10], [50, 100])
    assert (list(snow.get_xdata()), list(snow.get_ydata())) == ([14], [25])
    assert snow.get_marker() == "."
    assert [list(line.get_ydata()) for line in agreement.lines if line.get_color() == "#1f77b4"] == [[50, 50], [50]]
    assert [list(line.get_ydata()) for line in largest.lines if line.get_color() == "#2ca02c"] == [[25, 75], [100]]
    warned = [line for line in largest.lines if line.get_color() == "#d62728"]
    assert [list(line.get_xdata()) for line in warned] == [[12, 12]]
    assert agreement.get_title() == "The stream without labels; red: the monitor warns"
    assert [text.get_text() for text in confidence.texts] == ["fog", "snow"]
    assert largest.get_xlabel() == "images"


def test_without_the_source_there_is_no_agreement(tmp_path: Path, figures: list[Figure]) -> None:
    assert plot_unlabelled(tmp_path / "x.png", tasks(asked=0, agreement=NAN))
    assert [axes.get_ylabel() for axes in figures[0].axes] == ["mean confidence\n(%)", "most frequent class\n(%)"]


def test_nothing_to_draw(tmp_path: Path) -> None:
    assert not plot_unlabelled(tmp_path / "x.png", Digest({}, Counts(), [], 0))
    assert list(tmp_path.iterdir()) == []
