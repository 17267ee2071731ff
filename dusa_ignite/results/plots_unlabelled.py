"""The picture of a stream whose images have no labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dusa_ignite.results.digest import Digest, Point, TaskDigest
from dusa_ignite.results.plots import COLOURS, save_figure

PANELS: dict[str, Callable[[Point], float]] = {
    "same class as the source (%)": lambda point: point.agreement,
    "mean confidence (%)": lambda point: point.confidence,
    "most frequent class (%)": lambda point: point.largest,
}
MOST_NAMES = 24  # of tasks, on the axis


def plot_unlabelled(path: Path, digest: Digest, *, marks: Mapping[str, Sequence[int]] | None = None) -> bool:
    """What can be seen without labels, task after task: agreement with the source model, confidence, collapse.

    Each point is of a stretch of the stream (:class:`dusa_ignite.results.digest.Point`); lines in red stand where the
    monitor warns.

    Args:
        path: of the PNG.
        digest: of the run's predictions.
        marks: by task, the numbers of its images after which a warning was active.

    Returns:
        Whether there was anything to draw.
    """
    tasks = {name: task for name, task in digest.tasks.items() if task.points}
    if not tasks:
        return False
    asked = any(task.asked for task in tasks.values())
    panels = {title: of for title, of in PANELS.items() if asked or "source" not in title}
    if digest.pixels is not None:
        panels.pop("most frequent class (%)")  # every pixel has one
    figure = Figure(figsize=(9, 1 + 1.7 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True)
    for number, (axes, (title, of)) in enumerate(zip(rows, panels.items(), strict=True)):
        _draw(axes, tasks, of, marks or {}, COLOURS[number])
        axes.set_ylabel(title.replace(" (%)", "\n(%)"), fontsize=8)
        axes.set_ylim(-3, 103)
        axes.grid(axis="y", alpha=0.3)
    rows[0].set_title("The stream without labels" + "; red: the monitor warns" * any((marks or {}).values()))
    rows[-1].set_xlabel("images")
    save_figure(figure, path)
    return True


def _draw(
    axes: Axes,
    tasks: Mapping[str, TaskDigest],
    of: Callable[[Point], float],
    marks: Mapping[str, Sequence[int]],
    colour: str,
) -> None:
    """One line per task, one behind the other, each with its name."""
    start = 0
    for name, task in tasks.items():
        places, shares = [start + point.images for point in task.points], [100 * of(point) for point in task.points]
        axes.plot(places, shares, color=colour, linewidth=1.4, marker="." if len(places) == 1 else None)
        for images in marks.get(name, ()):
            axes.axvline(start + images, color="#d62728", alpha=0.25, linewidth=1)
        if len(tasks) > 1:
            axes.axvline(start, color="0.6", linewidth=0.8)
            if len(tasks) <= MOST_NAMES:
                axes.annotate(
                    name, (start, 0.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=6, va="bottom",
                    xytext=(2, 0), textcoords="offset points", color="0.4",
                )  # fmt: skip
        start += task.images
    axes.set_xlim(0, start)
