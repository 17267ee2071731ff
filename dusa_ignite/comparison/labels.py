"""Whether the data has labels, asked before the first run: without them there is nothing to compare."""

from __future__ import annotations

from collections.abc import Sequence

from dusa_ignite.comparison.plan import PlannedRun
from dusa_ignite.data.task import is_labelled
from dusa_ignite.errors import DataError
from dusa_ignite.runs.folder import is_finished

REMEDIES = {
    "classification": "sort its images into folders of classes",
    "segmentation": "put label maps beside its images (images/, masks/)",
}


def check_labels(runs: Sequence[PlannedRun], *, overwrite: bool = False) -> None:
    """Look at the labels of all tasks of the runs that are still to be made.

    Raises:
        DataError: a task has none, or the data cannot be found.
    """
    waiting = [run for run in runs if overwrite or not is_finished(run.folder)]
    for data in {run.config.data.model_dump_json(): run.config.data for run in waiting}.values():
        for task in data.find():
            if not is_labelled(task.dataset):
                raise DataError(
                    f"data {data.name}: no image of task {task.name} has a label, so methods cannot be compared on it; "
                    f"{REMEDIES[data.problem]}, or use dusa-ignite adapt"
                )
