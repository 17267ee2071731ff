"""Results as tables of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dusa_ignite.data.file_list import list_line
from dusa_ignite.results.rows import (
    COLUMNS,
    IMAGE_COLUMNS,
    PIXEL_COLUMNS,
    TIME_COLUMNS,
    Row,
    is_missing,
    mean_row,
)
from dusa_ignite.results.score import SCORES

SHARES = (*IMAGE_COLUMNS, *PIXEL_COLUMNS, "agreement")  # in [0, 1]; shown in percent


def text_table(header: Sequence[str], lines: Sequence[Sequence[str]], *, last_apart: bool = True) -> str:
    """Left-aligned first column, right-aligned others, a rule under the header, and one above a last line apart."""
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]

    def render(line: Sequence[str]) -> str:
        return "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])

    rule = "  ".join("-" * width for width in widths)
    shown = [render(line) for line in lines]
    if last_apart:
        shown.insert(-1, rule)
    return "\n".join([render(header), rule, *shown])


def results_table(
    rows: Sequence[Row], *, scored_over: Mapping[str, Any] | None = None, files: Mapping[str, Any] | None = None
) -> str:
    """The table of one run, shares in percent, columns that no row has left out.

    Args:
        rows: without the mean.
        scored_over, files: see :func:`header_lines`, which stand above the table.
    """
    rows = [*rows, mean_row(rows)]
    columns = [column for column in COLUMNS if any(not is_missing(row.get(column)) for row in rows)]
    table = text_table(columns, [[cell_text(column, row.get(column)) for column in columns] for row in rows])
    return "\n".join([*header_lines({"scored_over": scored_over, "files": files}), table])


def header_lines(made_of: Mapping[str, Any]) -> list[str]:
    """What a reader of a table has to know of its images and classes; none where all of them count.

    Args:
        made_of: run.json, or the part of it that has ``scored_over`` and ``files``.
    """
    lines = (list_line(made_of.get("files")), scored_line(made_of.get("scored_over")))
    return [line for line in lines if line]


def scored_line(scored_over: Mapping[str, Any] | None) -> str:
    """Among which classes predictions were made: a line, empty where these are all.

    Args:
        scored_over: as in run.json and summary.json; ``None`` = all.
    """
    if not scored_over or scored_over["over"] == "all":
        return ""
    counts = scored_over["present"].values()
    count = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    return f"scored over the classes present in the task: {count} of {scored_over['classes']}"


def comparison_table(runs: Mapping[str, Sequence[Row]]) -> str:
    """Top-1, or mIoU, in percent of several runs side by side, a line per task, the mean last.

    Where no run has any, since no image has a label: how often each predicts as its source model.

    Args:
        runs: rows by run name, the mean row included (as :func:`read_csv` returns them).
    """
    tasks = list(dict.fromkeys(row["task"] for rows in runs.values() for row in rows if row["task"] != "mean"))
    by_task = {name: {row["task"]: row for row in rows} for name, rows in runs.items()}
    column, title = "agreement", "same as source (%)"
    for score in SCORES:
        if any(score.column in row for rows in runs.values() for row in rows):
            column, title = score.column, f"{score.title} (%)"
    lines = [
        [task, *(cell_text(column, by_task[name].get(task, {}).get(column)) for name in runs)]
        for task in [*tasks, "mean"]
    ]
    return text_table([title, *runs], lines)


def cell_text(column: str, value: Any) -> str:
    """A cell of a results table; a dash where a run has no such number."""
    if is_missing(value):
        return "-"
    if column in SHARES:
        return f"{100 * value:.2f}"
    if column == "loss":
        return f"{value:.4f}"
    return f"{value:.1f}" if column in TIME_COLUMNS else str(int(value)) if column != "task" else value
