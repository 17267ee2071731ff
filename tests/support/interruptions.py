"""Runs that are stopped on purpose."""

from __future__ import annotations

import os
import signal

import pytest
from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents
from dusa_ignite.handlers import RunCheckpoint


def interrupt_after(updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process receive SIGTERM in the middle of that update's end."""
    original = RunCheckpoint.attach

    def attach(self: RunCheckpoint, engine: Engine) -> None:
        engine.add_event_handler(
            TaskEvents.UPDATE_COMPLETED,
            lambda: os.kill(os.getpid(), signal.SIGTERM) if engine.state.iteration == updates else None,
        )
        original(self, engine)

    monkeypatch.setattr(RunCheckpoint, "attach", attach)
