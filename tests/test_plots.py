"""Pictures show what they should."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from dusa_ignite import plots
from dusa_ignite.plots import plot_stream, plot_tasks

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
    save = plots._save

    def keep(figure: Figure, path: Path) -> None:
        kept.append(figure)
        save(figure, path)

    monkeypatch.setattr(plots, "_save", keep)
    return kept


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        return picture.size


def legend_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_stream(tmp_path: Path, figures: list[Figure]) -> None:
    plot_stream(tmp_path / "stream.png", UPDATES)
    assert size_of(tmp_path / "stream.png") == (1080, 600)
    (axes,) = figures[0].axes
    assert legend_of(axes) == ["fog/5", "snow/5"]
    fog, snow = axes.lines
    assert (list(fog.get_xdata()), list(fog.get_ydata())) == ([4, 12], [25, 75])
    assert (list(snow.get_xdata()), list(snow.get_ydata())) == ([4], [100])
    assert snow.get_marker() == "."  # a line of one point would not be seen
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("images of the task", "top-1 so far (%)")


def test_stream_without_updates(tmp_path: Path, figures: list[Figure]) -> None:
    plot_stream(tmp_path / "stream.png", [])
    assert size_of(tmp_path / "stream.png") == (1080, 600)
    assert figures[0].axes[0].get_legend() is None


def test_stream_of_the_benchmark_and_of_everything(tmp_path: Path, figures: list[Figure]) -> None:
    for count, size in ((15, (1080, 600)), (95, (1728, 600))):
        updates = [
            {"task": f"some_noise_{k}/5", "images": 8 * i, "top1": k / 100} for k in range(count) for i in (1, 2)
        ]
        plot_stream(tmp_path / "stream.png", updates)
        assert size_of(tmp_path / "stream.png") == size
        axes = figures[-1].axes[0]
        assert legend_of(axes) == [f"some_noise_{k}/5" for k in range(count)]
        looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines[:40]}
        assert len(looks) == min(count, 40)
        assert axes.get_window_extent().width > 500


def test_tasks(tmp_path: Path, figures: list[Figure]) -> None:
    plot_tasks(tmp_path / "tasks.png", RUNS)
    assert size_of(tmp_path / "tasks.png") == (720, 540)
    (axes,) = figures[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["fog/5", "snow/5", "rain/5", "mean"]
    assert legend_of(axes) == ["source", "dusa"]
    source, dusa = axes.containers
    assert [round(bar.get_height(), 9) for bar in source] == [50, 25, 37.5]
    assert [round(bar.get_height(), 9) for bar in dusa] == [75, 100]  # none where there is no number
    assert [round(bar.get_x() + bar.get_width() / 2, 9) for bar in source] == [-0.2, 0.8, 2.8]
    assert [round(bar.get_x() + bar.get_width() / 2, 9) for bar in dusa] == [0.2, 2.2]
    assert [text.get_text() for text in axes.texts] == ["50", "25", "38", "75", "100"]
    assert axes.get_ylim() == (0, 105)


def test_tasks_of_the_benchmark(tmp_path: Path, figures: list[Figure]) -> None:
    rows = [{"task": f"some_noise_{k}/5", "top1": k / 20} for k in range(15)] + [{"task": "mean", "top1": 0.35}]
    plot_tasks(tmp_path / "tasks.png", {"dusa": rows})
    assert size_of(tmp_path / "tasks.png") == (1584, 540)
    assert len(figures[0].axes[0].patches) == 16


def test_tasks_without_labels(tmp_path: Path, figures: list[Figure]) -> None:
    plot_tasks(tmp_path / "tasks.png", {"dusa": [{"task": "fog", "top1": math.nan}, {"task": "mean"}]})
    assert size_of(tmp_path / "tasks.png") == (720, 540)
    assert len(figures[0].axes[0].patches) == 0
