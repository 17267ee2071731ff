"""Runs side by side: ``python launch/report.py runs/source runs/dusa [--plot comparison.png]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dusa_ignite.errors import DataError, report_errors
from dusa_ignite.results.plots import plot_tasks
from dusa_ignite.results.rows import Row, comparison_table, read_csv
from dusa_ignite.runs.folder import RESULTS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Print the top-1 accuracies of runs side by side.")
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--plot", type=Path, help="also draw bars into this PNG")
    return parser.parse_args(arguments)


@report_errors
def main(arguments: list[str] | None = None) -> int:
    """Print the table; the exit code is 2 where a folder holds no results or a picture cannot be written."""
    options = parse(arguments)
    runs = {}
    for folder in options.runs:
        if not (folder / RESULTS).is_file():
            raise DataError(f"{folder}: holds no {RESULTS}; give the folder of a run")
        runs[folder.name if folder.name not in runs else str(folder)] = read_csv(folder / RESULTS)
    print(comparison_table(runs))
    if options.plot:
        draw(options.plot, runs)
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
        if not plot_tasks(path, runs):
            raise DataError("--plot: no run has an accuracy to draw; leave it out")
    except OSError as error:
        raise DataError(f"--plot: {path}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(main())
