"""Pictures show what they should."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from dusa_ignite.results import plots
from dusa_ignite.results.plots import COLOURS, plot_stream, plot_tasks

UPDATES = [
    {"task": "fog/5", "images": 4, "top1": 0.25},
    {"task": "fog/5", "images": 8, "top1": None},
    {"task": "fog/5", "images": 12, "top1": 0.75},
    {"task": "snow/5", "images": 4, "top1": 1.0},
]
RUNS = {
    "source": [
        {"task": "fog/5", "top1": 0.5},
        {"task": "snow/5", "top1": 0.25},
        {"task": "mean", "top1": 0.375},
    ],
    "dusa": [
        {"task": "fog/5", "top1": 0.75},
        {"task": "snow/5", "top1": math.nan},
        {"task": "rain/5", "top1": 1.0},
        {"task": "mean", "top1": None},
    ],
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, beside being saved."""
    kept: list[Figure] = []
    save = plots.save_figure

    def keep(figure: Figure, path: Path) -> None:
        kept.append(figure)
        save(figure, path)

    monkeypatch.setattr(plots, "save_figure", keep)
    return kept


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        return picture.size


def legend_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_warnings_are_crosses_on_the_curves(tmp_path: Path, figures: list[Figure]) -> None:
    updates = [{**UPDATES[0], "window_warnings": 0.0}, {**UPDATES[2], "window_warnings": 2.0}, UPDATES[3]]
    assert plot_stream(tmp_path / "x.png", updates)
    *_, crosses = figures[0].axes[0].get_lines()
    assert (crosses.get_label(), crosses.get_marker()) == ("the monitor warns", "x")
    assert crosses.get_xydata().tolist() == [[12.0, 75.0]]


def test_stream(tmp_path: Path, figures: list[Figure]) -> None:
    assert plot_stream(tmp_path / "stream.png", UPDATES)
    assert size_of(tmp_path / "stream.png") == (1080, 600)
    (axes,) = figures[0].axes
    assert legend_of(axes) == ["fog/5", "snow/5"]
    fog, snow = axes.lines
    assert (list(fog.get_xdata()), list(fog.get_ydata())) == ([4, 12], [25, 75])
    assert (list(snow.get_xdata()), list(snow.get_ydata())) == ([4], [100])
    assert snow.get_marker() == "."  # a line of one point would not be seen
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("images of the task", "top-1 so far (%)")
    assert axes.get_title() == "Accuracy along the stream"
    assert axes.get_xlim()[0] == 0
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_nothing_is_drawn_without_labels(tmp_path: Path) -> None:
    assert not plot_stream(tmp_path / "stream.png", [])
    assert not plot_stream(tmp_path / "stream.png", [{"task": "fog", "images": 4, "top1": None}])
    assert not plot_tasks(tmp_path / "tasks.png", {"dusa": [{"task": "fog", "top1": math.nan}, {"task": "mean"}]})
    assert list(tmp_path.iterdir()) == []


def test_stream_of_the_benchmark_and_of_everything(tmp_path: Path, figures: list[Figure]) -> None:
    for count, size in ((15, (1080, 600)), (95, (1728, 600))):
        updates = [
            {"task": f"some_noise_{k}/5", "images": 8 * i, "top1": k / 100} for k in range(count) for i in (1, 2)
        ]
        plot_stream(tmp_path / "stream.png", updates)
        assert size_of(tmp_path / "stream.png") == size
        axes = figures[-1].axes[0]
        assert legend_of(axes) == [f"some_noise_{k}/5" for k in range(count)]
        assert len({(line.get_color(), str(line._dash_pattern)) for line in axes.lines}) == count  # type: ignore[attr-defined]
        assert axes.get_window_extent().width > 500


def test_tasks(tmp_path: Path, figures: list[Figure]) -> None:
    assert plot_tasks(tmp_path / "tasks.png", RUNS)
    assert size_of(tmp_path / "tasks.png") == (840, 540)
    (axes,) = figures[0].axes
    assert axes.get_title() == "Accuracy per task"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["fog/5", "snow/5", "rain/5", "mean"]
    assert list(axes.get_xticks()) == [0, 1, 2, 3.6]  # the mean stands apart
    assert legend_of(axes) == ["source", "dusa"]
    assert axes.get_legend().get_window_extent().x0 > axes.get_window_extent().x1  # hides no bar
    source, dusa = axes.containers
    assert [round(bar.get_height(), 9) for bar in source] == [50, 25, 37.5]
    assert [round(bar.get_height(), 9) for bar in dusa] == [75, 100]  # none where there is no number
    assert [round(bar.get_x() + bar.get_width() / 2, 9) for bar in source] == [-0.2, 0.8, 3.4]
    assert [round(bar.get_x() + bar.get_width() / 2, 9) for bar in dusa] == [0.2, 2.2]
    assert [to_hex(bars[0].get_facecolor()) for bars in (source, dusa)] == ["#1f77b4", "#ff7f0e"]
    assert [text.get_text() for text in axes.texts] == ["50", "25", "38", "75", "100"]
    assert axes.get_ylim() == (0, 105)


def test_colours_stay_distinct() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == 20


@pytest.mark.parametrize(("count", "runs", "size", "numbers"), [
    (15, 1, (1644, 540), 16), (75, 1, (2220, 540), 76), (75, 3, (2220, 540), 0),
])  # fmt: skip
def test_many_tasks(
    count: int, runs: int, size: tuple[int, int], numbers: int, tmp_path: Path, figures: list[Figure]
) -> None:
    rows = [{"task": f"some_noise_{k}/5", "top1": k / 80} for k in range(count)] + [{"task": "mean", "top1": 0.35}]
    plot_tasks(tmp_path / "tasks.png", {f"run {number}": rows for number in range(runs)})
    assert size_of(tmp_path / "tasks.png") == size
    axes = figures[0].axes[0]
    assert len(axes.patches) == runs * (count + 1)
    assert len(axes.texts) == numbers  # none where bars are too narrow for it
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    if count == 75:
        assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))  # none over another
