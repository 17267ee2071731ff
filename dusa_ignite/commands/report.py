"""Runs side by side: ``dusa-ignite report runs/source runs/dusa [--html report.html] [--plot bars.png]``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dusa_ignite.errors import DataError, report_errors
from dusa_ignite.utils.paths import expanded

if TYPE_CHECKING:
    from dusa_ignite.results.rows import Row


def parser(prog: str | None) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Print top-1 (or mIoU) of runs side by side, and paired differences from the first; warn "
        "where they were not measured on the same images or among the same classes.",
    )
    parser.add_argument("runs", nargs="+", type=expanded, help="The folders of the runs.")
    parser.add_argument(
        "--html", type=expanded, metavar="FILE", help="Also write a report of all of them into this file."
    )
    parser.add_argument("--plot", type=expanded, metavar="PNG", help="Also draw bars into this file.")
    return parser


@report_errors
def main(arguments: list[str] | None = None, prog: str | None = None) -> int:
    """Print the table; the exit code is 2 where a folder holds no results or a picture cannot be written."""
    options = parser(prog).parse_args(arguments)
    from dusa_ignite.comparison.side_by_side import read_side_run, side_by_side

    folders: dict[str, Path] = {}
    for folder in options.runs:
        folders[folder.name if folder.name not in folders else str(folder)] = folder
    runs = {name: read_side_run(folder) for name, folder in folders.items()}
    text = side_by_side(runs)
    print(text)
    if options.html:
        from dusa_ignite.comparison.html import write_html

        write_html(options.html, folders, comparison=text.partition("\n\n")[2])  # the table is in it anyway
        print(f"\nreport: {options.html}")
    if options.plot:
        draw(options.plot, {name: run.rows for name, run in runs.items()})
        print(f"\nplot: {options.plot}")
    return 0


def draw(path: Path, runs: dict[str, list[Row]]) -> None:
    """Bars of all runs.

    Raises:
        DataError: it is no PNG, cannot be written, or there is nothing to draw.
    """
    if path.suffix.lower() != ".png":
        raise DataError(f"--plot: {path}: must end in .png")
    try:
        from dusa_ignite.results.plots import plot_tasks
    except ImportError as error:
        raise DataError("--plot: needs matplotlib: pip install 'dusa_ignite[plots]'") from error
    try:
        if not plot_tasks(path, runs):
            raise DataError("--plot: no run has an accuracy to draw; leave it out")
    except OSError as error:
        raise DataError(f"--plot: {path}: cannot be written ({error.strerror})") from error
