"""A picture of the classes that runs predict in a task's first batches: first_batches.py TASK PNG RUN [RUN ...]"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

BATCHES, BATCH_SIZE = 12, 32


def shares(run: Path, task: str, column: str) -> tuple[np.ndarray, list[str]]:
    """The share of each class (classes, batches) in the first batches of a task, and the classes' names."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        classes = [row[column] for row in csv.DictReader(file) if row["task"] == task]
    names = sorted(set(classes))
    batches = [classes[begin : begin + BATCH_SIZE] for begin in range(0, BATCHES * BATCH_SIZE, BATCH_SIZE)]
    return np.array([[batch.count(name) / len(batch) for batch in batches] for name in names]), names


def draw(task: str, png: Path, runs: list[Path]) -> None:
    """A panel per run: a column per batch, coloured by the predicted classes; the labels come first."""
    panels = [("labels", runs[0], "label"), *((run.name, run, "predicted") for run in runs)]
    figure, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 3), sharey=True, layout="constrained")
    for axis, (title, run, column) in zip(axes, panels, strict=True):
        height = np.zeros(BATCHES)
        for share, name in zip(*shares(run, task, column), strict=True):
            axis.bar(range(1, BATCHES + 1), share, bottom=height, width=1, color=f"C{name}")
            height += share
        axis.set(title=title, xlabel="batch", xticks=range(2, BATCHES + 1, 2))
    axes[0].set_ylabel(f"share of each class, {task}")
    figure.savefig(png, dpi=120)


if __name__ == "__main__":
    draw(sys.argv[1], Path(sys.argv[2]), [Path(run) for run in sys.argv[3:]])
