"""Pictures of results, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Row = dict[str, Any]


def plot_stream(path: Path, updates: Sequence[Row]) -> None:
    """Accuracy so far over the images of each task.

    Args:
        path: of the PNG.
        updates: lines of an update log, see :mod:`dusa_ignite.handlers.update_log`.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for task in dict.fromkeys(line["task"] for line in updates):
        lines = [line for line in updates if line["task"] == task and line["top1"] is not None]
        axes.plot([line["images"] for line in lines], [100 * line["top1"] for line in lines], label=task, linewidth=1.4)
    axes.set(xlabel="images of the task", ylabel="top-1 so far (%)")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
    _save(figure, path)


def plot_tasks(path: Path, runs: Mapping[str, Sequence[Row]]) -> None:
    """Bars of top-1 per task and in the mean, a colour per run.

    Args:
        path: of the PNG.
        runs: rows by run name, the mean row included.
    """
    tasks = list(dict.fromkeys(row["task"] for rows in runs.values() for row in rows if row["task"] != "mean"))
    places = [*tasks, "mean"]
    width = 0.8 / len(runs)
    figure = Figure(figsize=(max(6, 0.7 * len(places) + 2), 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, rows) in enumerate(runs.items()):
        top1 = {row["task"]: 100 * row["top1"] for row in rows if row.get("top1") is not None}
        offsets = [place + (number - (len(runs) - 1) / 2) * width for place in range(len(places))]
        bars = axes.bar(offsets, [top1.get(task, 0.0) for task in places], width=0.95 * width, label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=8, padding=1)
    axes.set_xticks(range(len(places)), places, rotation=40, ha="right")
    axes.set(ylabel="top-1 (%)", ylim=(0, 105))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)
