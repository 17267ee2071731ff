"""Pictures of results, as PNG files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Row = dict[str, Any]

LINE_STYLES = ("-", "--", ":", "-.")
LEGEND_ROWS = 24  # as many as fit beside the axes


def plot_stream(path: Path, updates: Sequence[Row]) -> None:
    """Accuracy so far over the images of each task.

    Args:
        path: of the PNG.
        updates: lines of an update log, see :mod:`dusa_ignite.handlers.update_log`.
    """
    tasks = list(dict.fromkeys(line["task"] for line in updates))
    columns = math.ceil(len(tasks) / LEGEND_ROWS)
    figure = Figure(figsize=(9 + 1.8 * max(columns - 1, 0), 5), layout="constrained")
    axes = figure.subplots()
    for number, task in enumerate(tasks):
        lines = [line for line in updates if line["task"] == task and line["top1"] is not None]
        axes.plot(
            [line["images"] for line in lines],
            [100 * line["top1"] for line in lines],
            label=task,
            linewidth=1.4,
            linestyle=LINE_STYLES[number // 10 % len(LINE_STYLES)],  # there are ten colours
            marker="." if len(lines) == 1 else None,
        )
    axes.set(xlabel="images of the task", ylabel="top-1 so far (%)")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5), ncols=columns)
    _save(figure, path)


def plot_tasks(path: Path, runs: Mapping[str, Sequence[Row]]) -> None:
    """Bars of top-1 per task and in the mean, a colour per run; no bar where a run has no accuracy.

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
        shares = {row["task"]: row["top1"] for row in rows if _known(row.get("top1"))}
        top1 = {place: 100 * shares[task] for place, task in enumerate(places) if task in shares}
        offset = (number - (len(runs) - 1) / 2) * width
        bars = axes.bar([place + offset for place in top1], list(top1.values()), width=0.95 * width, label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=8, padding=1)
    axes.set_xticks(range(len(places)), places, rotation=40, ha="right")
    axes.set(ylabel="top-1 (%)", xlim=(-0.6, len(places) - 0.4), ylim=(0, 105))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend()
    _save(figure, path)


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)
