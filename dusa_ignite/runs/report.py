"""The HTML report of a run, in the run's folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dusa_ignite.data import Task
from dusa_ignite.results import files
from dusa_ignite.results.html_report import run_page
from dusa_ignite.results.report_content import read_content
from dusa_ignite.results.thumbnails import thumbnails
from dusa_ignite.utils.durable import write_text

logger = logging.getLogger(__name__)


def write_report(folder: Path, *, summary: Mapping[str, Any], tasks: Sequence[Task]) -> None:
    """Write report.html; where that fails, the run has its results all the same, and the log says why.

    Args:
        folder: of the run, with everything but summary.json in it.
        summary: what summary.json will hold.
        tasks: of the run; the images that are shown are read from them again.
    """
    try:
        content = read_content(folder, summary=summary)
        content = content._replace(pictures=thumbnails(tasks, content.digest.changed))
        write_text(folder / files.REPORT, run_page(content))
    except OSError as error:
        logger.warning("%s: not written: %s", folder / files.REPORT, error.strerror or error)
    except Exception:  # a defect of the report must not cost a run its end
        logger.warning("%s: not written", folder / files.REPORT, exc_info=True)
