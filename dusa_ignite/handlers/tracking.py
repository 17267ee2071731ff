"""A run on ClearML and TensorBoard, through Ignite's loggers."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
from ignite.engine import Engine
from ignite.handlers.base_logger import BaseLogger, BaseOutputHandler
from ignite.handlers.tensorboard_logger import OutputHandler as TensorboardOutput
from ignite.handlers.tensorboard_logger import TensorboardLogger

from dusa_ignite.engine import TaskEvents
from dusa_ignite.errors import Interrupted, StoppedEarly, UserError
from dusa_ignite.handlers.task_results import TaskResults
from dusa_ignite.handlers.tracked_files import OF_A_RUN, TrackedFiles, report_files
from dusa_ignite.handlers.tracked_numbers import plots, update_numbers
from dusa_ignite.handlers.warned import Warned
from dusa_ignite.results.pixels import pixels_of
from dusa_ignite.utils.durable import write_text

if TYPE_CHECKING:  # importing ClearML costs time and patches argparse: only where it is used
    from dusa_ignite.handlers.clearml_session import ClearMLSession

logger = logging.getLogger(__name__)

TASK_IDS, CLEARML, TENSORBOARD = "clearml.json", "clearml", "tensorboard"  # in the run's folder


def check_tracking(*, clearml: Mapping[str, Any] | None, tensorboard: bool, resumed: bool = False) -> dict[str, Any]:
    """Find out early, in the first process, whether what is asked for can be had.

    Args:
        clearml: ``project``, ``task``, ``tags`` and ``mode`` (``online``, ``offline`` or ``off``); ``None`` = off.
        tensorboard: needs the package ``tensorboard``.
        resumed: a run that is gone on with does so without a server, too.

    Returns:
        What can be had: ``clearml`` and ``tensorboard`` for :func:`attach_tracking`.

    Raises:
        UserError: there is no ClearML server, or it does not answer; or tensorboard is not installed.
    """
    if tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError("tracking.tensorboard: it is not installed (pip install 'dusa_ignite[tensorboard]')")
    if idist.get_rank() == 0 and clearml and clearml["mode"] == "online":
        from dusa_ignite.handlers.clearml_server import check_server

        try:
            check_server()
        except UserError as error:
            if not resumed:
                raise
            logger.warning("the run goes on without ClearML: %s", error)
            clearml = None
    return {"clearml": clearml, "tensorboard": tensorboard}


def attach_tracking(
    engine: Engine,
    *,
    folder: Path,
    results: TaskResults,
    parameters: Mapping[str, Any],
    clearml: Mapping[str, Any] | None = None,
    tensorboard: bool = False,
    resumed: bool = False,
    done: int = 0,
    which: TrackedFiles = OF_A_RUN,
) -> Tracking:
    """Report every update and task, in the first process. Attach it behind the metrics, the results and the export.

    Per update: loss, accuracy so far (the averaged norms' too), images/s and the guide's diagnostics; per task: its row
    of results as scalars, in a table, and its exported classifier; at the end: the files in the run's folder.

    Args:
        engine: of the run.
        folder: of the run. It keeps the ClearML task's id, so that a resumed run goes on with the same task; offline
            sessions and TensorBoard's event files go there, too.
        results: already attached.
        parameters: what is shown as the run's options, plain values, nested as you like.
        clearml: ``project``, ``task`` (``None`` = the folder's name), ``tags`` and ``mode`` (``online``, ``offline`` or
            ``off``); ``None`` = off.
        tensorboard: whether to write event files.
        resumed: go on with what an earlier part of this run has reported.
        done: updates made by that part; what it reported of later ones is replaced.
        which: files ClearML gets.

    Returns:
        A context manager to run the engine in; leaving it ends the reports, whatever the reason.

    Raises:
        UserError: there is no ClearML server, or it does not take the task; a resumed run goes on without.

    Example:
        >>> with attach_tracking(engine, folder=folder, results=results, parameters={}, tensorboard=True):
        ...     engine.run(stream)
    """
    tracking = Tracking(engine, folder=folder, results=results)
    if idist.get_rank() > 0:
        return tracking
    if not resumed:
        Warned(lambda: (folder / TASK_IDS).unlink(missing_ok=True))()  # of a run that is overwritten
    if tensorboard:
        events = folder / TENSORBOARD
        if not resumed:
            shutil.rmtree(events, ignore_errors=True)
        writer = TensorboardLogger(log_dir=str(events), purge_step=done + 1 if resumed else None)
        tracking.report_scalars(writer, TensorboardOutput)
        tracking.on_picture.append(
            Warned(lambda path, name: writer.writer.add_image(name, pixels_of(path), engine.state.iteration))
        )
        tracking.on_exit.append(lambda outcome: writer.close())
    if clearml and clearml["mode"] != "off":
        from ignite.handlers.clearml_logger import OutputHandler as ClearMLOutput

        try:
            session = _start_clearml(folder, parameters, resumed=resumed, **clearml)
        except UserError as error:
            if not resumed:
                raise
            logger.warning("the run goes on without ClearML: %s", error)
            return tracking
        tracking.report_scalars(session.logger, ClearMLOutput)
        end = report_files(engine, session, folder=folder, results=results, which=which)
        tracking.on_picture.append(
            Warned(lambda path, name: session.report_pixels(name, pixels_of(path), iteration=engine.state.iteration))
        )
        tracking.on_exit += [end, session.close]
    return tracking


class Tracking:
    """What reports a run; see :func:`attach_tracking`. Failures are warned of and never end the run.

    Attributes:
        on_exit: called with the outcome (``completed``, ``stopped`` or ``failed``) when the context is left.
        on_picture: called with the path and the name of a picture.
    """

    def __init__(self, engine: Engine, *, folder: Path, results: TaskResults) -> None:
        self.engine = engine
        self.folder = folder
        self.results = results
        self.on_exit: list[Callable[[Any], None]] = []
        self.on_picture: list[Callable[[Path, str], None]] = []

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        outcome = "completed"
        if kind is not None:
            outcome = "stopped" if issubclass(kind, Interrupted | StoppedEarly | KeyboardInterrupt) else "failed"
        for close in self.on_exit:
            Warned(close)(outcome)

    def report_scalars(self, to: BaseLogger, handler: type[BaseOutputHandler]) -> None:
        """Send the numbers of every update and of every task to one of Ignite's loggers."""
        update = handler("updates", output_transform=lambda _: plots(update_numbers(self.engine)))
        to.attach(self.engine, Warned(update), TaskEvents.UPDATE_COMPLETED)
        task = handler("tasks", output_transform=lambda _: plots(self.results.rows[-1]))
        to.attach(self.engine, Warned(task), TaskEvents.TASK_COMPLETED)

    def show(self, path: Path, *, name: str) -> None:
        """Show a picture, as it is now, with the number of the update at hand.

        Args:
            path: of a PNG.
            name: what it shows; the pictures of one name are a series.
        """
        for show in self.on_picture:
            show(path, name)


def _start_clearml(
    folder: Path,
    parameters: Mapping[str, Any],
    *,
    resumed: bool,
    project: str,
    task: str | None,
    tags: tuple[str, ...],
    mode: str,
) -> ClearMLSession:
    """Go on with the task that the folder remembers, or make a new one and remember it."""
    from dusa_ignite.handlers.clearml_session import ClearMLSession

    ids: dict[str, str] = {}
    if not resumed:
        shutil.rmtree(folder / CLEARML, ignore_errors=True)
    else:
        with suppress(OSError, ValueError, TypeError):  # there is none, or it cannot be read: a new task, then
            ids = dict(json.loads((folder / TASK_IDS).read_text(encoding="utf-8")))
    name = task or folder.name
    session = ClearMLSession(
        project=project,
        task=name if len(name) >= 3 else f"run {name}",  # ClearML's servers want three characters
        tags=tags,
        offline_folder=folder / CLEARML if mode == "offline" else None,
        task_id=ids.get(mode),
        parameters=parameters,
        monitor=idist.device().type == "cuda",
    )
    if ids.get(mode, session.task_id) != session.task_id:
        logger.warning("ClearML: task %s cannot be gone on with, a new one is made", ids[mode])
    Warned(write_text)(folder / TASK_IDS, json.dumps({**ids, mode: session.task_id}) + "\n")
    logger.info("ClearML: task %s at %s", session.task_id, session.where)
    return session
