"""Saves a run so that it can go on exactly where it was."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers.checkpoint import BaseSaveHandler, Checkpoint
from pydantic import Field

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.engine import TaskEvents, batch_of
from dusa_ignite.errors import STOP_SIGNALS, Interrupted
from dusa_ignite.handlers.atomic_saver import AtomicSaver
from dusa_ignite.utils.section import Section

logger = logging.getLogger(__name__)

SAME_STOP = 2.0  # seconds: signals this close are one request, which a terminal, torchrun and a parent may each pass on


class CheckpointOptions(Section):
    """When a run is saved, besides after every task and on SIGTERM or SIGINT."""

    every_minutes: float | None = Field(
        default=15.0, gt=0, description="between saves within a task, > 0; null = never"
    )
    every_updates: int | None = Field(default=None, ge=1, description="likewise, in updates, >= 1; null = never")
    keep: int = Field(default=1, ge=1, le=10000, description="how many of the newest are kept, >= 1")
    background: bool | None = Field(
        default=None,
        description="write while updates go on, from a copy in host memory; null = if the models are on a GPU",
    )


class RunCheckpoint:
    """Saves after every task, every so often, and on SIGTERM or SIGINT. Attach it last.

    On the first of these signals the update at hand is finished, the run saved, and :class:`Interrupted` raised; a
    second one, two seconds later or more, ends the process at once. Where tasks begin with a reset, the checkpoint at a
    task's end leaves out what the reset restores anyway.

    Args:
        saver: where checkpoints go, such as :class:`dusa_ignite.handlers.AtomicSaver`.
        stateful: what methods change; the reset restores exactly it.
        progress: everything else that has to go on: metrics, results, logs.
        resets: whether every task begins with a reset.
        every_minutes: between checkpoints within a task; ``None`` = none by time.
        every_updates: likewise, in updates.

    Example:
        >>> RunCheckpoint(AtomicSaver(folder, keep=1), stateful=stateful, progress=progress, resets=True).attach(engine)
    """

    def __init__(
        self,
        saver: BaseSaveHandler,
        *,
        stateful: Mapping[str, Any],
        progress: Mapping[str, Any],
        resets: bool,
        every_minutes: float | None = None,
        every_updates: int | None = None,
    ) -> None:
        self.saver = saver
        self.stateful = stateful
        self.progress = progress
        self.resets = resets
        self.every_minutes = every_minutes
        self.every_updates = every_updates
        self._signal = 0
        self._signalled = 0.0
        self._last = 0.0

    def attach(self, engine: Engine) -> None:
        """Save from now on; signals are caught while the engine runs."""
        everything = {"engine": engine, **self.progress, **self.stateful}
        self._full = self._ignite_checkpoint(everything)
        self._light = self._ignite_checkpoint({"engine": engine, **self.progress})
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.after_update)

    def _ignite_checkpoint(self, to_save: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            to_save,
            self.saver,
            n_saved=None,
            filename_pattern="checkpoint_{global_step}.{ext}",
            global_step_transform=lambda engine, _: engine.state.iteration,
        )

    def _begin(self) -> None:
        self._last = time.monotonic()
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._signal:
            self._signal, self._signalled = number, now
        elif now - self._signalled >= SAME_STOP:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def after_update(self, engine: Engine) -> None:
        """Save if it is time to; stop if a signal has come. All processes decide alike."""
        due = self.every_minutes is not None and time.monotonic() - self._last >= 60 * self.every_minutes
        due = due or (self.every_updates is not None and engine.state.iteration % self.every_updates == 0)
        stopping = bool(global_sum(float(self._signal)))
        task_ends = batch_of(engine)["last"]
        if stopping or task_ends or global_sum(float(due)):
            self.save(engine, light=task_ends and self.resets)
        if stopping:
            raise Interrupted(f"stopped by a signal after update {engine.state.iteration}{self._shortfall(engine)}")

    def _shortfall(self, engine: Engine) -> str:
        """What to add where that update could not be saved (a full disk, say), which has been warned of."""
        if not isinstance(self.saver, AtomicSaver) or idist.get_rank() > 0:
            return ""
        newest = self.saver.newest()
        saved = newest == f"checkpoint_{engine.state.iteration}.pt"
        return "" if saved else f", which is not saved; the newest checkpoint is {newest}"

    def save(self, engine: Engine, *, light: bool = False) -> None:
        """Save now; ``light`` leaves out what the next task's reset restores."""
        begun = time.monotonic()
        (self._light if light else self._full)(engine)
        self._last = time.monotonic()
        logger.debug("checkpoint after update %d in %.2f s", engine.state.iteration, self._last - begun)
