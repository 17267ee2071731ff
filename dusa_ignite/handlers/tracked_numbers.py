"""The numbers that are tracked, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine

from dusa_ignite.engine import output_of
from dusa_ignite.handlers.harm_signals import Signals
from dusa_ignite.results.rows import COLUMNS

VALIDATED = ("accuracy", "loss", "chance", "best_accuracy", "best_t", "margin")  # of a training, in [0, 1] but the loss
PLOTS = {  # a plot for what shares a scale; what is not named here comes from the guide
    "accuracy": ("top1", "top5", "ema_top1", "source_top1", "agreement"),
    "segmentation": ("miou", "pixel_accuracy", "ema_miou", "source_miou"),
    "calibration": ("ece",),
    "loss": ("update_loss", "loss"),
    "speed": ("images_per_second",),
    "time": ("seconds",),
    "counts": ("images", "skipped_update", "skipped_updates", "unreadable", "warnings", "rollbacks"),
    "training": ("lr", "gradient_norm"),
    "validation": tuple(f"validation_{name}" for name in VALIDATED),
    "monitor": (*(f"window_{name}" for name in Signals._fields), "window_warnings"),
}


def update_numbers(engine: Engine) -> dict[str, float]:
    """Everything that is known of the update at hand."""
    output = output_of(engine)
    return {"update_loss": output["loss"], **engine.state.metrics, **output["diagnostics"]}


def plots(numbers: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The finite numbers, by plot: ``{"top1": 0.5, "auc": 0.9}`` gives ``{"accuracy": {...}, "guidance": {...}}``."""
    plot_of = {name: plot for plot, names in PLOTS.items() for name in names}
    found: dict[str, dict[str, float]] = {}
    for name, value in numbers.items():
        if isinstance(value, int | float) and math.isfinite(value):
            found.setdefault(plot_of.get(name, "guidance"), {})[name] = value
    return found


def results_as_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A header and a line of text per row; numbers that are missing or not finite leave their cell empty."""
    return [list(COLUMNS), *([_cell(row.get(column)) for column in COLUMNS] for row in rows)]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if math.isfinite(value) else ""
    return "" if value is None else str(value)
