"""A ClearML task that cannot harm the run it tells of."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from clearml import Task
from ignite.handlers.clearml_logger import ClearMLLogger

from dusa_ignite.errors import UserError
from dusa_ignite.handlers.clearml_private import NewModel, forget_at_exit
from dusa_ignite.handlers.clearml_server import answers, check_server
from dusa_ignite.handlers.clearml_task import start_task

logger = logging.getLogger(__name__)

PING_SECONDS = 60.0  # between looks at the server during the run
PATIENCE_SECONDS = 30.0  # with a silent server, at the end
UPLOAD_SECONDS = 3600.0  # with a server that answers, at the end: exported weights may be large
STOP_SECONDS = 15.0  # for everything, when the run was stopped: whoever stopped it is waiting

CACHE = "CLEARML_CACHE_DIR"
Outcome = Literal["completed", "stopped", "failed"]


class ClearMLSession:
    """Makes a ClearML task or goes on with one, and sends to it from threads of its own.

    Nothing here waits for a server while the run goes on: scalars are queued by ClearML, everything else by
    :meth:`submit`. A server that falls silent is warned of; what it missed is sent once it answers again.

    Args:
        project: its name.
        task: its name.
        tags: of the task.
        offline_folder: where an offline session goes, ``<folder>/offline/<task>.zip``; ``None`` = to the server.
        task_id: of the task to go on with; ``None`` = a new one.
        parameters: shown as the task's hyperparameters.
        monitor: report the machine's use of GPU, memory and disk too.

    Attributes:
        logger: Ignite's logger, for output handlers.
        host: the server's address, ``None`` offline.
        task_id: of the task.
        where: the server's address, or the offline session's file.

    Raises:
        UserError: no server, or it does not take the task.
    """

    def __init__(
        self,
        *,
        project: str,
        task: str,
        tags: tuple[str, ...] = (),
        offline_folder: Path | None = None,
        task_id: str | None = None,
        parameters: Mapping[str, Any],
        monitor: bool = False,
    ) -> None:
        self.host = None if offline_folder else check_server()
        self._cache_before = os.environ.get(CACHE)
        if offline_folder:
            os.environ[CACHE] = str(offline_folder.resolve())
        try:
            self.logger: ClearMLLogger = start_task(
                project=project,
                task=task,
                tags=tags,
                task_id=task_id,
                parameters=parameters,
                monitor=monitor,
                offline=offline_folder is not None,
            )
        except Exception as error:
            self._restore_cache()
            forget_at_exit()
            reason = " ".join(str(error).split())
            raise UserError(
                f"tracking.clearml: no task at {self.host or offline_folder} ({reason}); "
                "mend that, or take tracking.clearml.mode=offline"
            ) from error
        self.task_id: str = self.logger.get_task().id
        self.where = self.host or str(offline_folder and offline_folder / "offline" / f"{self.task_id}.zip")
        self._jobs: queue.SimpleQueue[tuple[str, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._outcome: Outcome = "completed"
        self._closing = threading.Event()
        self._worker = threading.Thread(target=self._work, name="clearml-jobs", daemon=True)
        self._worker.start()
        if self.host:
            threading.Thread(target=self._watch, name="clearml-watch", daemon=True).start()

    def submit(self, what: str, job: Callable[[], Any]) -> None:
        """Have something done behind the run's back, in order; should it raise, that is warned of."""
        self._jobs.put((what, job))

    def upload_artifact(self, path: Path) -> None:
        """Send a file, under its name; one that is sent again replaces the earlier one."""
        self.submit(path.name, lambda: self._upload_artifact(path))

    def upload_weights(self, path: Path, *, name: str) -> None:
        """Send a weights file as an output model."""
        self.submit(path.name, lambda: self._upload_weights(path, name))

    def report_image(self, title: str, path: Path, *, iteration: int) -> None:
        """Show a picture."""
        image = {"title": title, "series": path.stem, "iteration": iteration, "local_path": str(path)}
        self.submit(path.name, lambda: self.logger.report_image(**image, delete_after_upload=False))

    def report_pixels(self, name: str, pixels: np.ndarray, *, iteration: int) -> None:
        """Show a picture that need not stay a file, uint8 (3, H, W)."""
        image = {"title": name, "series": name, "iteration": iteration, "image": pixels.transpose(1, 2, 0)}
        self.submit(name, lambda: self.logger.report_image(**image))

    def close(self, outcome: Outcome) -> None:
        """Send what is left and end the task; never raises, and gives up on a server that has fallen silent.

        Args:
            outcome: how the run ended.
        """
        self._outcome = outcome
        self._jobs.put(None)
        begun = answered = time.monotonic()
        longest = UPLOAD_SECONDS if outcome == "completed" else STOP_SECONDS
        while self._worker.is_alive():
            self._worker.join(timeout=2.0)
            now = time.monotonic()
            if self._worker.is_alive() and self._answers():
                answered = now
            if now - answered > PATIENCE_SECONDS or now - begun > longest:
                logger.warning("ClearML: gave up after %.0f s, not everything has been sent", now - begun)
                forget_at_exit()
                break
        self._closing.set()
        self._restore_cache()

    def _upload_artifact(self, path: Path) -> None:
        if not self.logger.get_task().upload_artifact(path.name, str(path), wait_on_upload=True):
            raise OSError("the upload failed")

    def _upload_weights(self, path: Path, name: str) -> None:
        model = NewModel(task=self.logger.get_task(), name=name, framework="PyTorch")
        model.update_weights(str(path), auto_delete_file=False, async_enable=False)

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            what, job = entry
            _warned_of(what, job)
        _warned_of("the end of the run", self._end)

    def _end(self) -> None:
        self.logger.close()
        if self.host and self._outcome != "completed":
            task: Any = Task.get_task(task_id=self.task_id)
            (task.mark_stopped if self._outcome == "stopped" else task.mark_failed)(force=True)

    def _watch(self) -> None:
        """Say so when the server falls silent, and when it is back."""
        before = True
        while not self._closing.wait(PING_SECONDS):
            now = self._answers()
            if before and not now:
                logger.warning("ClearML: no answer from %s; the run goes on, reports wait for it", self.host)
            elif now and not before:
                logger.info("ClearML: %s answers again", self.host)
            before = now

    def _answers(self) -> bool:
        return self.host is None or answers(self.host)

    def _restore_cache(self) -> None:
        if self._cache_before is None:
            os.environ.pop(CACHE, None)
        else:
            os.environ[CACHE] = self._cache_before


def _warned_of(what: str, job: Callable[[], Any]) -> None:
    try:
        job()
    except Exception as error:
        logger.warning("ClearML: %s could not be sent, the run goes on: %s: %s", what, type(error).__name__, error)
