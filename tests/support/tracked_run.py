"""A run of five updates in two tasks, tracked, as a process of its own: ClearML changes the process it is used in.

``python tests/support/tracked_run.py '{"folder": ..., "clearml": {...}}'`` prints, as its last line, what it left
behind.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.errors import Interrupted, UserError
from dusa_ignite.handlers import TaskResults
from dusa_ignite.handlers.tracking import attach_tracking, check_tracking

TASKS = ("fog/5", "fog/5", "fog/5", "snow/5", "snow/5")
ONLINE = {"project": "dusa_ignite", "task": None, "tags": ["a", "b"], "mode": "online"}


class Batches:
    """A stream that goes on where the engine is."""

    def __init__(self) -> None:
        self.position = 0

    def seek(self, position: int) -> None:
        self.position = position

    def __iter__(self) -> Any:
        for number in range(self.position, len(TASKS)):
            yield {"task": TASKS[number], "first": number in (0, 3), "last": number in (2, 4)}


def toy_engine(*, pause: float = 0.0) -> tuple[Engine, TaskResults]:
    """Update i has loss 1 / i, top-1 i / 10 and an auc of 0.5; the calibration error is never known."""

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        time.sleep(pause)
        engine.state.metrics["top1"] = engine.state.iteration / 10
        engine.state.metrics["ece"] = float("nan")
        return {"y": torch.zeros(4), "loss": 1 / engine.state.iteration, "diagnostics": {"auc": 0.5}}

    engine = create_adaptation_engine(update)
    results = TaskResults(metrics=["top1", "ece"])
    results.attach(engine)
    return engine, results


def run(
    folder: str,
    *,
    clearml: dict[str, Any],
    done: int = 0,
    rows: list[dict[str, Any]] | None = None,
    stop_after: int = 0,
    pause: float = 0.0,
) -> None:
    """Run, from behind update ``done``, to the end or until a signal is said to have come after ``stop_after``."""
    engine, results = toy_engine(pause=pause)
    tracking = attach_tracking(
        engine,
        folder=Path(folder),
        results=results,
        parameters={"seed": 1, "data": {"name": "toy"}},
        resumed=done > 0,
        done=done,
        clearml=clearml,
    )

    @engine.on(TaskEvents.UPDATE_COMPLETED)
    def stop(engine: Engine) -> None:
        if engine.state.iteration == stop_after:
            raise Interrupted("stopped")

    if done:
        engine.load_state_dict({"epoch_length": 5, "max_epochs": 1, "iteration": done, "task_number": len(rows or [])})
        results.rows = rows or []
    with tracking:
        engine.run(Batches(), max_epochs=1, epoch_length=5)


def refusals(hosts: list[str | None]) -> list[str]:
    """What is said of each server (``None`` = no configuration), with credentials."""
    said = []
    for host in hosts:
        if host:
            os.environ |= {
                "CLEARML_API_HOST": host,
                "CLEARML_API_ACCESS_KEY": "key",
                "CLEARML_API_SECRET_KEY": "secret",
            }
        try:
            check_tracking(clearml=ONLINE, tensorboard=False)
            said.append("")
        except UserError as error:
            said.append(str(error))
    return said


def main(options: dict[str, Any]) -> dict[str, Any]:
    """Run or, with ``hosts``, only look for servers; returns what happened."""
    for name, value in options.pop("seconds", {}).items():
        from dusa_ignite.handlers import clearml_server, clearml_session

        for module in (clearml_server, clearml_session):
            setattr(module, name, value)
    handler, streams = signal.getsignal(signal.SIGTERM), (sys.stdout, sys.stderr)
    begun, outcome = time.monotonic(), "completed"
    said = refusals(options.pop("hosts", []))
    if options:
        try:
            run(**options)
        except Interrupted as error:
            outcome = str(error)
    return {
        "said": said,
        "outcome": outcome,
        "seconds": time.monotonic() - begun,
        "signals_kept": signal.getsignal(signal.SIGTERM) is handler,
        "streams_kept": (sys.stdout, sys.stderr) == streams,
        "matplotlib": "matplotlib" in sys.modules,
        "threads": [thread.name for thread in threading.enumerate() if not thread.daemon],
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    print("\n" + json.dumps(main(json.loads(sys.argv[1]))))
