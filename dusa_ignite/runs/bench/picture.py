"""What was measured, as a picture: bars of images per second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dusa_ignite.results.plots import COLOURS, save_figure
from dusa_ignite.runs.bench.row import Row


def plot_variants(path: Path, rows: Sequence[Row], *, title: str) -> bool:
    """A bar per variant with a line from quartile to quartile.

    Args:
        path: of the PNG.
        rows: those without numbers are left out.
        title: above it.

    Returns:
        Whether there was anything to draw.
    """
    known = [(row.name, row.images_per_second) for row in rows if row.images_per_second is not None]
    if not known:
        return False
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(known)), layout="constrained")
    axes = figure.subplots()
    names, speeds = [name for name, _ in known], [speed for _, speed in known]
    medians = [median for median, _, _ in speeds]
    errors = [[median - low for median, low, _ in speeds], [high - median for median, _, high in speeds]]
    bars = axes.barh(names, medians, xerr=errors, capsize=3, color=COLOURS[0])
    axes.bar_label(bars, labels=[f"{median:.3g}" for median in medians], padding=6)
    axes.invert_yaxis()
    axes.set(title=title, xlabel="images/s (median; line: quartiles)")
    axes.margins(x=0.12)
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)
    return True
