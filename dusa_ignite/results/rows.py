"""A run's results: rows, their mean, CSV and JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from dusa_ignite.errors import DataError
from dusa_ignite.utils.durable import write_text

COLUMNS = (
    "task",
    "images",
    "top1",
    "top5",
    "ece",
    "ema_top1",
    "source_top1",
    "miou",
    "pixel_accuracy",
    "ema_miou",
    "source_miou",
    "agreement",
    "loss",
    "seconds",
    "images_per_second",
    "skipped_updates",
    "unreadable",
    "warnings",
    "rollbacks",
)
IMAGE_COLUMNS = ("top1", "top5", "ece", "ema_top1", "source_top1")  # only labelled images have these
PIXEL_COLUMNS = ("miou", "pixel_accuracy", "ema_miou", "source_miou")  # only images with a label map have these
TOTALS = ("images", "seconds", "skipped_updates", "unreadable", "warnings", "rollbacks")  # the mean row holds their sum
TIME_COLUMNS = ("seconds", "images_per_second")

Row = dict[str, Any]


def mean_row(rows: Sequence[Row]) -> Row:
    """The row ``mean``: every task weighs the same, as in the papers; counts and seconds are summed.

    See :func:`overall` for every image weighing the same.
    """
    mean: Row = {"task": "mean"}
    for column in COLUMNS[1:]:
        values = [row[column] for row in rows if not is_missing(row.get(column))]
        if values:
            mean[column] = sum(values) if column in TOTALS else sum(values) / len(values)
    mean["images_per_second"] = mean["images"] / mean["seconds"]
    return mean


def overall(rows: Sequence[Row], updates: Sequence[Mapping[str, Any]]) -> Row:
    """The results pooled over all images of a run, whichever task they belong to; :func:`mean_row` is what papers show.

    The calibration error is left out: it is no mean over images, so it cannot be had from the tasks' own.

    Args:
        rows: one per task. Within a task either all images have a label or none has.
        updates: lines of an update log, see :mod:`dusa_ignite.handlers.update_log`; their losses are means over images.

    Returns:
        ``images``; and, where there are any, ``top1``, ``top5``, ``ema_top1`` and ``source_top1`` over the images that
        have a label, ``agreement`` over all, and ``loss`` over those of updates with a finite one.
    """
    pooled: Row = {"images": sum(row["images"] for row in rows)}
    for column in ("top1", "top5", "ema_top1", "source_top1", "agreement"):
        known = [(row["images"], row[column]) for row in rows if not is_missing(row.get(column))]
        if known:
            pooled[column] = sum(images * share for images, share in known) / sum(images for images, _ in known)
    losses: list[tuple[int, float]] = []
    so_far: dict[str, int] = {}
    for line in updates:
        images = line["images"] - so_far.get(line["task"], 0)
        so_far[line["task"]] = line["images"]
        if images and not is_missing(line["update_loss"]):
            losses.append((images, line["update_loss"]))
    if losses:
        pooled["loss"] = sum(images * loss for images, loss in losses) / sum(images for images, _ in losses)
    return pooled


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """All rows and their mean under :data:`COLUMNS`; what a run has not is left empty. Replaces the file at once.

    Without any label there are neither :data:`IMAGE_COLUMNS` nor :data:`PIXEL_COLUMNS`, with labels one of the two.

    Numbers have nine digits: behind these, sums taken in another order differ.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    left_out = [
        column
        for own in (IMAGE_COLUMNS, PIXEL_COLUMNS)
        for column in own
        if all(is_missing(row.get(own[0])) for row in rows)
    ]
    columns = [column for column in COLUMNS if column not in left_out]
    writer.writerow(columns)
    for row in [*rows, mean_row(rows)]:
        writer.writerow([_csv(row.get(column)) for column in columns])
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[Row]:
    """The rows of a results file, the mean last; empty cells are left out.

    Raises:
        DataError: it cannot be read, holds no rows, or something other than numbers.
    """
    rows: list[Row] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows.append({name: value if name == "task" else float(value) for name, value in row.items() if value})
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, csv.Error) as error:  # no number, no text, more cells than columns
        raise DataError(f"{path}: line {len(rows) + 2}: not as a run writes it ({error}); run again") from error
    if not rows or not all("task" in row for row in rows):
        raise DataError(f"{path}: holds no results; give the folder of a run in which a task has completed")
    return rows


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Strict JSON (NaN becomes null), indented. Replaces the file at once."""
    write_text(path, json.dumps(_strict(content), indent=2, allow_nan=False) + "\n")


def is_missing(value: Any) -> bool:
    """Whether a run has no such number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _csv(value: Any) -> str:
    if is_missing(value):
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
