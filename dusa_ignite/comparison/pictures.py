"""The picture of a comparison: the score over the stream, and against cost, with the line that nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from dusa_ignite.comparison.finished import FinishedRun, Stream
from dusa_ignite.comparison.names import short_names
from dusa_ignite.comparison.summary import MethodSummary

COLOURS = (  # dark enough for thin lines on white; told apart by brightness too
    "#1f77b4",
    "#2ca02c",
    "#9467bd",
    "#ff7f0e",
    "#17becf",
    "#8c564b",
    "#e377c2",
    "#7f7f00",
    "#003f7f",
    "#f0b400",
    "#7f7f7f",
    "#00d08f",
)
OWN_LOOKS: dict[str, dict[str, Any]] = {  # found at once in every picture
    "source": {"color": "black", "linestyle": "--", "marker": ".", "linewidth": 1.8, "zorder": 4},
    "dusa": {"color": "#d62728", "linestyle": "-", "marker": "o", "linewidth": 2.6, "zorder": 3},
}
OWN_LOOKS["window_dusa"] = OWN_LOOKS["dusa"]  # no comparison has both
MARKERS = "sD^v<>PX*hpd"
LINE_STYLES = ("-", "--", ":", "-.")
POINTS = 64  # over the whole stream
PARTS = 8  # of a task, in the panel about tasks' courses
FEWEST = 25  # images behind a point
MOST_NAMES = 24  # of tasks along the axis


def plot_comparison(path: Path, runs: Sequence[FinishedRun], summaries: Sequence[MethodSummary]) -> None:
    """The score along the stream, the average course of a task, and the score against images per second.

    With methods that have a guide also against the guide's work. In both of the latter a line leads from one method to
    the next that is better than all cheaper ones (Pareto front).

    Args:
        path: of the PNG.
        runs: all of them.
        summaries: of the same labels; the legend lists them from best to worst.
    """
    looks = _looks([summary.label for summary in summaries])
    by_label = {label: [run for run in runs if run.label == label] for label in looks}
    with_guide = any(summary.guide_work for summary in summaries)
    figure = Figure(figsize=(15 if with_guide else 13, 8.5), layout="constrained")
    panels = figure.subplot_mosaic("AAA;BCD" if with_guide else "AA;BC", height_ratios=(1.15, 1))
    _draw_stream(panels["A"], by_label, looks)
    _draw_task(panels["B"], by_label, looks)
    _draw_speed(panels["C"], summaries, looks)
    if with_guide:
        _draw_guide_work(panels["D"], [s for s in summaries if s.guide_work is not None], looks)
    ranked = sorted(summaries, key=lambda summary: -summary.scores["mean"].mean)
    names = {s.label: f"{s.label} ({100 * s.scores['mean'].mean:.1f}{'!' if s.flagged else ''})" for s in ranked}
    title = f"mean {summaries[0].score.title} (%)"
    handles = {line.get_gid(): line for line in panels["C"].lines}
    figure.legend(
        [handles[label] for label in names],
        list(names.values()),
        title=f"{title}, ! = collapsed" if any(s.flagged for s in ranked) else title,
        loc="outside right upper",
        handlelength=3.5,
        labelspacing=0.7,
    )
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)


def _looks(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour, line style and marker for every label."""
    looks = dict(OWN_LOOKS)
    for number, label in enumerate(label for label in labels if label not in OWN_LOOKS):
        looks[label] = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINE_STYLES[number // len(COLOURS) % len(LINE_STYLES)],
            "marker": MARKERS[number % len(MARKERS)],
            "linewidth": 1.3,
        }
    return {label: {"markersize": 4.5, **looks[label]} for label in labels}


def in_parts(stream: Stream, parts: int) -> np.ndarray:
    """The score of equal parts of a stream, one after the other, in [0, 1]; no part is empty."""
    split = np.array_split(stream.sums, min(parts, len(stream)))
    return stream.score.of(np.stack([part.sum(axis=0) for part in split]))


def parts_per_task(tasks: int, images: int, wanted: int = POINTS) -> int:
    """How many points a task gets: few enough to be read, each the mean of enough images."""
    return max(1, min(wanted // tasks, images // FEWEST))


def _draw_stream(axes: Axes, runs: dict[str, list[FinishedRun]], looks: dict[str, dict[str, Any]]) -> None:
    first = next(iter(runs.values()))[0]
    tasks = list(first.streams)
    parts = parts_per_task(len(tasks), min(len(stream) for stream in first.streams.values()))
    places = (np.arange(len(tasks))[:, None] + (np.arange(parts + 1) + 0.5) / parts).ravel()
    for label, own in runs.items():
        scores = np.full((len(tasks), parts + 1), np.nan)  # the last column keeps tasks apart
        for row, task in zip(scores, tasks, strict=True):
            row[:parts] = np.mean([in_parts(run.streams[task], parts) for run in own], axis=0)
        axes.plot(places, 100 * scores.ravel(), **{**looks[label], "markersize": 3})
    for border in range(1, len(tasks)):
        axes.axvline(border, color="0.8", linewidth=0.8, zorder=0)
    step = -(-len(tasks) // MOST_NAMES)
    names = list(short_names(tasks).values())
    axes.set_xticks(np.arange(len(tasks))[::step] + 0.5, names[::step], rotation=0 if len(tasks) <= 16 else 60)
    axes.set(title=f"over the stream, in {parts} parts per task" if parts > 1 else "over the stream")
    axes.set(ylabel=f"{first.score.title} (%)", xlim=(0, len(tasks)))
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", alpha=0.3)


def _draw_task(axes: Axes, runs: dict[str, list[FinishedRun]], looks: dict[str, dict[str, Any]]) -> None:
    streams = {label: [stream for run in own for stream in run.streams.values()] for label, own in runs.items()}
    images = min(len(stream) for all_ in streams.values() for stream in all_)
    title = next(iter(runs.values()))[0].score.title
    parts = parts_per_task(1, images, wanted=PARTS)
    places = 100 * (np.arange(parts) + 0.5) / parts
    for label, own in streams.items():
        axes.plot(places, 100 * np.mean([in_parts(stream, parts) for stream in own], axis=0), **looks[label])
    axes.set(title="within a task, mean over tasks", xlabel="images of the task seen (%)", ylabel=f"{title} (%)")
    axes.set_xlim(0, 100)
    axes.grid(alpha=0.3)


def _draw_speed(axes: Axes, summaries: Sequence[MethodSummary], looks: dict[str, dict[str, Any]]) -> None:
    speeds = [summary.images_per_second for summary in summaries]
    _draw_cost(axes, summaries, [speed.mean for speed in speeds], looks, spread=[speed.std for speed in speeds])
    _draw_front(axes, [(-speed.mean, s.scores["mean"].mean) for speed, s in zip(speeds, summaries, strict=True)])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title="against speed (right is cheaper)", xlabel="images per second")


def _draw_guide_work(axes: Axes, summaries: Sequence[MethodSummary], looks: dict[str, dict[str, Any]]) -> None:
    works = [summary.guide_work or 0.0 for summary in summaries]
    _draw_cost(axes, summaries, works, looks)
    _draw_front(axes, [(work, s.scores["mean"].mean) for work, s in zip(works, summaries, strict=True)])
    axes.set(title="against the guide's work (left is cheaper)", xlabel="forward passes of the guide per image")


def _draw_cost(
    axes: Axes,
    summaries: Sequence[MethodSummary],
    costs: Sequence[float],
    looks: dict[str, dict[str, Any]],
    *,
    spread: Sequence[float | None] | None = None,
) -> None:
    for number, (summary, cost) in enumerate(zip(summaries, costs, strict=True)):
        score = summary.scores["mean"]
        bars = axes.errorbar(
            cost,
            100 * score.mean,
            xerr=spread[number] if spread else None,
            yerr=None if score.std is None else 100 * score.std,
            **{**looks[summary.label], "markersize": 8},
        )
        bars.lines[0].set_gid(summary.label)
    axes.set_ylabel(f"mean {summaries[0].score.title} (%)")
    axes.grid(alpha=0.3, which="both")


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    front = pareto_front(points)
    axes.plot([abs(cost) for cost, _ in front], [100 * score for _, score in front], color="0.55", zorder=0)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, score) those that no other point equals or beats at the same cost or less, from cheap to dear."""
    front: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front
