"""The images that a report shows, read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dusa_ignite.data import Task
from dusa_ignite.results.label_pictures import label_pictures
from dusa_ignite.results.report_content import Content
from dusa_ignite.results.thumbnails import thumbnails


def with_pictures(content: Content, tasks: Sequence[Task], *, folder: Path) -> Content:
    """What a report shows, with its pictures.

    Args:
        content: of the run.
        tasks: of the run; its images are read from them again.
        folder: of the run, which holds predicted label maps where it segments.
    """
    pixels = content.digest.pixels
    if pixels is None:
        return content._replace(pictures=thumbnails(tasks, content.digest.changed))
    return content._replace(maps=label_pictures(tasks, pixels.shown, folder=folder))
