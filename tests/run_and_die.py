"""``launch/main.py``, but one process dies: ``DIE_RANK`` after update ``DIE_UPDATE`` by signal ``DIE_SIGNAL``, once."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from pathlib import Path

from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents
from dusa_ignite.handlers import RunCheckpoint

MARK = Path(os.environ["DIE_MARK"])  # exists once it has happened
attach = RunCheckpoint.attach


def attach_death(self: RunCheckpoint, engine: Engine) -> None:
    """Die at the update's end, before it is saved."""

    def die() -> None:
        mine = os.environ.get("RANK", "0") == os.environ["DIE_RANK"]
        if mine and engine.state.iteration == int(os.environ["DIE_UPDATE"]) and not MARK.exists():
            MARK.touch()
            os.kill(os.getpid(), getattr(signal, os.environ["DIE_SIGNAL"]))

    engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, die)
    attach(self, engine)


RunCheckpoint.attach = attach_death  # type: ignore[method-assign]
sys.exit(runpy.run_path("launch/main.py")["main"](sys.argv[1:]))
