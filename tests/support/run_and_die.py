"""``launch/main.py``, but one process dies: ``DIE_RANK`` after update ``DIE_UPDATE`` by signal ``DIE_SIGNAL``, once.

With ``DIE_GROUP`` the signal goes to its whole process group, loader processes included; with ``DIE_LATE`` the process
comes so many seconds late when torchrun starts it again; with ``DIE_SLOW`` every checkpoint takes so many seconds.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from pathlib import Path

import torch
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
            send = os.killpg if "DIE_GROUP" in os.environ else os.kill
            send(os.getpgid(0) if "DIE_GROUP" in os.environ else os.getpid(), getattr(signal, os.environ["DIE_SIGNAL"]))

    engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, die)
    attach(self, engine)


def save_slowly(*args: object, **kwargs: object) -> None:
    """As on a slow disk."""
    time.sleep(float(os.environ["DIE_SLOW"]))
    save(*args, **kwargs)  # type: ignore[arg-type]


save = torch.save
if "DIE_SLOW" in os.environ:
    torch.save = save_slowly
if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0" and os.environ["RANK"] == os.environ["DIE_RANK"]:
    time.sleep(float(os.environ.get("DIE_LATE", "0")))
RunCheckpoint.attach = attach_death  # type: ignore[method-assign]
if __name__ == "__main__":  # processes that it starts import this file too
    sys.exit(runpy.run_path("launch/main.py")["main"](sys.argv[1:]))
