"""The files of a run's folder that ClearML gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ignite.engine import Engine, Events

from dusa_ignite.engine import TaskEvents, batch_of
from dusa_ignite.handlers.task_results import TaskResults
from dusa_ignite.handlers.tracked_numbers import results_as_table
from dusa_ignite.handlers.warned import Warned
from dusa_ignite.results import files

if TYPE_CHECKING:  # importing ClearML costs time and patches argparse: only where it is used
    from dusa_ignite.handlers.clearml_session import ClearMLSession


class TrackedFiles(NamedTuple):
    """Which ones, by their names in the folder; those that are not there are passed over.

    Attributes:
        first: at the beginning.
        last: at the end; what was sent at the beginning may have changed.
        pictures: at the end, and to be looked at.
        weights: at the end, as output models.
        results: whether the table of results is sent after every task, as a file and to be looked at.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    results: bool = False


OF_A_RUN = TrackedFiles(
    first=(files.CONFIG, files.RUN),
    last=(files.CONFIG, files.RUN, files.RESULTS, files.LOG, files.REPORT),
    pictures=files.PICTURES,
    results=True,
)


def report_files(
    engine: Engine, session: ClearMLSession, *, folder: Path, results: TaskResults, which: TrackedFiles
) -> Callable[[Any], None]:
    """Send files, the table of results, and the classifiers that a run exports.

    Args:
        engine: of the run.
        session: of its task.
        folder: of the run.
        results: its rows.
        which: files.

    Returns:
        What is to be called at the end, with the outcome.
    """
    exports = folder / files.EXPORTS

    def send_weights(path: Path, name: str) -> None:
        if path.exists():
            session.upload_weights(path, name=name)

    def send_export(task: str) -> None:
        send_weights(exports / f"{task.replace('/', '_')}.safetensors", task)

    def begin(engine: Engine) -> None:
        for name in which.first:
            session.upload_artifact(folder / name)
        if session.host is None:  # an offline session does not remember the models of its earlier part
            for row in results.rows:
                send_export(row["task"])

    def send_task(engine: Engine) -> None:
        if which.results:
            table = results_as_table(results.rows)
            session.logger.report_table("results", "tasks", iteration=0, table_plot=table)
            session.upload_artifact(folder / files.RESULTS)
        send_export(batch_of(engine)["task"])

    def end(outcome: Any) -> None:
        for name in (*which.last, *which.pictures):
            if (folder / name).exists():
                session.upload_artifact(folder / name)
                if name in which.pictures:
                    session.report_image("accuracy", folder / name, iteration=engine.state.iteration)
        for name in which.weights:
            send_weights(folder / name, Path(name).stem)

    engine.add_event_handler(Events.STARTED, Warned(begin))
    engine.add_event_handler(TaskEvents.TASK_COMPLETED, Warned(send_task))
    return end
