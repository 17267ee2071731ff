"""The HTML report of a run, in the run's folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dusa_ignite.data import Task
from dusa_ignite.results import files
from dusa_ignite.results.html_report import run_page
from dusa_ignite.results.report_content import Content, read_content
from dusa_ignite.results.report_pictures import with_pictures
from dusa_ignite.utils.durable import write_text

logger = logging.getLogger(__name__)


def content_of(folder: Path, summary: Mapping[str, Any]) -> Content | None:
    """What the run's report shows, ``None`` where it cannot be had; then the log says why.

    A run that has its results comes to its end, whatever becomes of the report.

    Args:
        folder: of the run, with everything but pictures, report and summary in it.
        summary: what summary.json will hold.
    """
    try:
        return read_content(folder, summary=summary)
    except Exception as error:  # a defect of the report must not cost a run its end
        _warn(folder, error)
        return None


def write_report(folder: Path, content: Content, tasks: Sequence[Task]) -> None:
    """Write report.html; where that fails, the log says why.

    Args:
        folder: of the run.
        content: what is shown.
        tasks: of the run; the images that are shown are read from them again.
    """
    try:
        write_text(folder / files.REPORT, run_page(with_pictures(content, tasks, folder=folder)))
    except Exception as error:  # as above
        _warn(folder, error)


def _warn(folder: Path, error: Exception) -> None:
    known = isinstance(error, OSError)
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    logger.warning("%s: not written, the run goes on: %s", folder / files.REPORT, reason, exc_info=not known)
