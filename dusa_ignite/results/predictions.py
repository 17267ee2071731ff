"""The columns of predictions.csv, and reading them by name, a line at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

COLUMNS = (
    "task",
    "index",  # position in the task's data set
    "path",  # of the image's file; empty where the data set has none
    "label",  # -1 = unknown
    "label_name",
    "predicted",
    "predicted_name",
    "confidence",
    "source_predicted",  # by the source model; empty where it has not been asked
    "source_confidence",
    "top5",  # class:probability, the most likely first
    "guide",  # class:error of the guide, in the order in which it was asked; empty where it was not
)


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Some columns of every line, in the order of ``columns``; one that the file does not have is empty.

    Files of earlier versions have fewer columns. The file is read as a stream: it may be larger than memory.

    Args:
        path: of a predictions.csv.
        columns: names, see :data:`COLUMNS`.

    Raises:
        ValueError: a line is shorter than the header.
        OSError: it cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        places = [header.index(column) if column in header else len(header) for column in columns]
        for number, line in enumerate(lines, start=2):
            if len(line) != len(header):
                raise ValueError(f"line {number} has {len(line)} cells, the header {len(header)}")
            line.append("")
            yield tuple([line[place] for place in places])


def pairs_text(classes: Sequence[int], values: Sequence[float], *, digits: str) -> str:
    """``3:0.8120 5:0.1010``, classes and a number each, formatted as ``digits`` says (``.4f``)."""
    return " ".join(f"{label}:{value:{digits}}" for label, value in zip(classes, values, strict=True))


def read_pairs(text: str) -> list[tuple[int, float]]:
    """The inverse of :func:`pairs_text`."""
    return [(int(label), float(value)) for label, _, value in (pair.partition(":") for pair in text.split())]
