"""What a run writes while its tasks complete, and when all of them have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from dusa_ignite.data import Task
from dusa_ignite.errors import UserError
from dusa_ignite.handlers.append import AppendedFile
from dusa_ignite.handlers.update_log import read_update_log
from dusa_ignite.results import files
from dusa_ignite.results.report_content import Content
from dusa_ignite.results.rows import Row, mean_row, overall, write_csv, write_json
from dusa_ignite.results.tables import results_table
from dusa_ignite.runs.provenance import peak_memory_bytes
from dusa_ignite.runs.report import content_of, write_report

logger = logging.getLogger(__name__)


def save_rows_to(folder: Path) -> Callable[[list[Row]], None]:
    """Rewrites results.csv whenever a task has completed; where it cannot (full disk), the end of the run will."""

    def save(rows: list[Row]) -> None:
        if idist.get_rank() == 0:
            try:
                write_csv(folder / files.RESULTS, rows)
            except OSError as error:
                logger.warning("%s: not written for now, the run goes on: %s", folder / files.RESULTS, error.strerror)

    return save


def finish(
    folder: Path, summary: Mapping[str, Any], rows: list[Row], *, logs: Sequence[AppendedFile], tasks: Sequence[Task]
) -> None:
    """What a full disk has kept from being written, pictures, the table on the console, the report, and the summary.

    Args:
        folder: of the run.
        summary: what the run is called; the results are added.
        rows: of all tasks.
        logs: files that may have unwritten lines.
        tasks: of the run; the report reads some images again.

    Raises:
        UserError: a file cannot be written; the run counts as unfinished.
    """
    try:
        for log in logs:
            log.flush()
        write_csv(folder / files.RESULTS, rows)
        updates = read_update_log(folder / files.UPDATES)
        memory = peak_memory_bytes()
        totals = {"tasks": len(rows), "mean": mean_row(rows), "overall": overall(rows, updates)}
        summary = {**summary, **totals, "peak_memory_bytes": memory}
        content = content_of(folder, summary)
        draw(folder, summary["name"], rows, updates, content)
        logger.info("\n%s\n", results_table(rows, scored_over=summary.get("scored_over"), files=summary.get("files")))
        logger.info("peak memory: %s", ", ".join(f"{size / 2**30:.2f} GiB {where}" for where, size in memory.items()))
        logger.info("results: %s", folder)
        if content is not None:
            write_report(folder, content, tasks)
        write_json(folder / files.SUMMARY, summary)
    except OSError as error:
        raise UserError(
            f"{folder}: the results cannot be written ({error.strerror or error}); mend that, then resume with --resume"
        ) from error


def draw(folder: Path, name: str, rows: list[Row], updates: Sequence[Row], content: Content | None) -> None:
    """The run's pictures, of accuracies or, without labels, of the stream; without matplotlib a line says so."""
    try:
        from dusa_ignite.results.plots import plot_stream, plot_tasks  # matplotlib: only here, and only now
        from dusa_ignite.results.plots_unlabelled import plot_unlabelled
    except ImportError:
        logger.info("no pictures: matplotlib is not installed (pip install 'dusa_ignite[plots]')")
        return
    if not plot_stream(folder / files.STREAM_PLOT, updates) and content is not None:
        plot_unlabelled(folder / files.UNLABELLED_PLOT, content.digest, marks=content.marks)
    plot_tasks(folder / files.TASKS_PLOT, {name: [*rows, mean_row(rows)]})
