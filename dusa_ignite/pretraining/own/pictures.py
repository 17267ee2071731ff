"""The picture of a guide's curves."""

from __future__ import annotations

import logging
from pathlib import Path

from dusa_ignite.pretraining.own.curve import Curve

logger = logging.getLogger(__name__)


def plot_curves(path: Path, curve: Curve, *, update: int) -> None:
    """Accuracy as a classifier beside chance, and the loss, by noise level; without matplotlib a line says so."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # only here, and only now
        from matplotlib.figure import Figure
    except ImportError:
        logger.info("no picture of the curve: matplotlib is not installed (pip install 'dusa_ignite[plots]')")
        return
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(curve.t, [100 * value for value in curve.accuracy], "o-", label="the guide")
    left.axhline(100 * curve.chance, color="black", linestyle="--", label="chance")
    left.axvline(curve.best_t, color="grey", linestyle=":", label=f"best: t = {curve.best_t:g}")
    left.set(title=f"Accuracy of the guide, update {update}", xlabel="t (0 = data, 1 = noise)", ylabel="accuracy (%)")
    left.set_ylim(0, 102)
    left.legend(fontsize="small")
    right.plot(curve.t, curve.loss, "o-")
    right.set(title="Validation loss", xlabel="t", ylabel="mean squared error")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)
