"""Several runs in one HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dusa_ignite.config import load_config
from dusa_ignite.data import Task
from dusa_ignite.errors import DataError, UserError
from dusa_ignite.results import files
from dusa_ignite.results.html_report import runs_page
from dusa_ignite.results.report_content import Content, read_content
from dusa_ignite.results.report_pictures import with_pictures
from dusa_ignite.runs.assemble import build_tasks
from dusa_ignite.utils.durable import write_text


def write_html(path: Path, folders: Mapping[str, Path], *, comparison: str) -> None:
    """Write a report of runs side by side, and of each by itself.

    The images that are shown are read again from the data that the runs' configs name; where that is gone, there are
    none.

    Args:
        path: of the file; what stands there is replaced.
        folders: of the runs, by what they are called.
        comparison: text that goes with it, see :func:`dusa_ignite.comparison.side_by_side.side_by_side`.

    Raises:
        DataError: it cannot be written, does not end in .html, or a file of a run is not what a run writes.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"--html: {path}: must end in .html")
    found: dict[str, list[Task]] = {}
    runs = {name: _with_pictures(folder, found) for name, folder in folders.items()}
    try:
        write_text(path, runs_page(runs, comparison=comparison))
    except OSError as error:
        raise DataError(f"--html: {path}: cannot be written ({error.strerror})") from error


def _with_pictures(folder: Path, found: dict[str, list[Task]]) -> Content:
    try:
        content = read_content(folder)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder}: not as a run writes it ({error}); run again") from error
    if not content.digest.changed and content.digest.pixels is None:
        return content
    return with_pictures(content, _tasks(folder, found), folder=folder)


def _tasks(folder: Path, found: dict[str, list[Task]]) -> list[Task]:
    """The tasks of a run; runs on the same data share them. None where they cannot be had any more."""
    try:
        config = load_config(folder / files.CONFIG)
        kept: Any = config.model_dump(mode="json", include={"data", "classifier", "setting"})
        key = json.dumps(kept, sort_keys=True)
        if key not in found:
            found[key] = build_tasks(config)
        return found[key]
    except UserError:
        return []
