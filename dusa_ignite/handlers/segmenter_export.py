"""Keeps the adapted segmenter of every task, in a form that transformers loads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents, batch_of
from dusa_ignite.segmentation.load_segmenter import save_segmenter
from dusa_ignite.segmentation.segmenter import Segmenter

logger = logging.getLogger(__name__)

BY_IMAGE = (
    "export: the segmenter's BatchNorm normalises with the statistics of each image, which no file holds: this package "
    "predicts with the folder as the run does, transformers by itself takes the source's statistics and predicts "
    "otherwise; with classifier.batch_norm=source both do the same"
)


class SegmenterExport:
    """Writes ``<folder>/<task>/`` as each task completes, see
    :func:`dusa_ignite.segmentation.load_segmenter.save_segmenter`; a ``/`` in the task's name becomes ``_``.

    One that cannot be written (full disk) is warned of and lost, the run goes on.

    Args:
        folder: made if missing.
        segmenter: the one that predicts.
        class_names: in the order of the outputs; empty = nobody knows them.

    Example:
        >>> SegmenterExport(folder / "export", segmenter).attach(engine)
    """

    def __init__(self, folder: Path, segmenter: Segmenter, *, class_names: Sequence[str] = ()) -> None:
        self.folder = folder
        self.segmenter = segmenter
        self.class_names = class_names

    def attach(self, engine: Engine) -> None:
        """Write after every task."""
        if self.segmenter.uses_own_statistics:
            logger.warning(BY_IMAGE)
        engine.add_event_handler(TaskEvents.TASK_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Write the segmenter as it is."""
        place = self.folder / batch_of(engine)["task"].replace("/", "_")
        try:
            save_segmenter(self.segmenter, place, class_names=self.class_names)
        except OSError as error:
            logger.warning("%s: not written, the run goes on: %s", place, error.strerror or error)
