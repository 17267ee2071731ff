"""Pictures of results, as PNG files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dusa_ignite.results.score import score_of

Row = dict[str, Any]

# fmt: off
COLOURS = (  # matplotlib's tab20, the strong ones first
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5",
)
# fmt: on
LINE_STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
LEGEND_ROWS = 24  # as many as fit beside the axes
MAX_WIDTH = 16.0  # inches, of all bars together
NARROWEST_NUMBER = 0.16  # inches: no bar narrower than this has its number on top
MEAN_GAP = 0.6  # between the last task's place and the mean's, beside the usual 1


def plot_stream(path: Path, updates: Sequence[Row]) -> bool:
    """Accuracy (top-1, or mIoU) so far over the images of each task; a cross where the monitor warns.

    Args:
        path: of the PNG.
        updates: lines of an update log, see :mod:`dusa_ignite.handlers.update_log`.

    Returns:
        Whether there was anything to draw: unlabelled images have no accuracy, and no picture.
    """
    score = score_of(updates[0] if updates else {})
    curves: dict[str, list[tuple[int, float]]] = {}
    warned: list[tuple[int, float]] = []
    for line in updates:
        if _known(line[score.column]):
            curves.setdefault(line["task"], []).append((line["images"], 100 * line[score.column]))
            if line.get("window_warnings"):
                warned.append(curves[line["task"]][-1])
    if not curves:
        return False
    columns = math.ceil(len(curves) / LEGEND_ROWS)
    figure = Figure(figsize=(9 + 1.8 * (columns - 1), 5), layout="constrained")
    axes = figure.subplots()
    for number, (task, points) in enumerate(curves.items()):
        axes.plot(
            *zip(*points, strict=True),
            label=task,
            linewidth=1.4,
            color=COLOURS[number % len(COLOURS)],
            linestyle=LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)],
            marker="." if len(points) == 1 else None,
        )
    if warned:
        axes.plot(*zip(*warned, strict=True), "x", color="black", markersize=5, label="the monitor warns")
    axes.set(title="Accuracy along the stream", xlabel="images of the task", ylabel=f"{score.title} so far (%)")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    _legend_beside(axes, columns)
    save_figure(figure, path)
    return True


def plot_tasks(path: Path, runs: Mapping[str, Sequence[Row]]) -> bool:
    """Bars of top-1, or mIoU, per task and, set apart, in the mean; a colour per run, no bar where a run has no number.

    Args:
        path: of the PNG.
        runs: rows by run name, the mean row included.

    Returns:
        Whether there was anything to draw: unlabelled images have no accuracy, and no picture.
    """
    score = score_of({column: value for rows in runs.values() for row in rows for column, value in row.items()})
    shares = {
        name: {row["task"]: row[score.column] for row in rows if _known(row.get(score.column))}
        for name, rows in runs.items()
    }
    if not any(shares.values()):
        return False
    tasks = list(dict.fromkeys(row["task"] for rows in runs.values() for row in rows if row["task"] != "mean"))
    places = {**{task: float(place) for place, task in enumerate(tasks)}, "mean": len(tasks) + MEAN_GAP}
    width, inches = 0.8 / len(runs), min(max(4.5, 0.7 * len(places)), MAX_WIDTH)
    columns = math.ceil(len(runs) / LEGEND_ROWS)
    figure = Figure(figsize=(inches + 1 + 1.5 * columns, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, by_task) in enumerate(shares.items()):
        offset = (number - (len(runs) - 1) / 2) * width
        bars = axes.bar(
            [place + offset for task, place in places.items() if task in by_task],
            [100 * by_task[task] for task in places if task in by_task],
            width=0.95 * width,
            label=name,
            color=COLOURS[number % len(COLOURS)],
        )
        if width * inches / (len(places) + MEAN_GAP) >= NARROWEST_NUMBER:
            axes.bar_label(bars, fmt="%.0f", fontsize=8, padding=1)
    axes.axvline(len(tasks) - 0.5 + MEAN_GAP / 2, color="0.6", linewidth=0.8)
    steep = len(places) > 20
    axes.set_xticks(
        list(places.values()), list(places), rotation=90 if steep else 40, ha="center" if steep else "right", fontsize=8
    )
    axes.set(title="Accuracy per task", ylabel=f"{score.title} (%)", xlim=(-0.6, places["mean"] + 0.6), ylim=(0, 105))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    _legend_beside(axes, columns)
    save_figure(figure, path)
    return True


def _legend_beside(axes: Axes, columns: int) -> None:
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, ncols=columns)


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, without a window system."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)
