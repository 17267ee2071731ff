"""When a run is saved, and what is in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine, Events
from ignite.handlers.checkpoint import BaseSaveHandler

from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.errors import Interrupted
from dusa_ignite.handlers import AtomicSaver, RunCheckpoint, atomic_saver, checkpoint

BATCHES = [
    *({"task": "fog", "first": k == 0, "last": k == 2} for k in range(3)),
    *({"task": "snow", "first": k == 0, "last": k == 3} for k in range(4)),
]


class Saved(BaseSaveHandler):
    """Keeps the names of what is saved."""

    def __init__(self) -> None:
        self.files: dict[str, set[str]] = {}

    def __call__(self, content: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        self.files[filename] = set(content)

    def remove(self, filename: str) -> None:
        raise AssertionError("the saver itself decides what goes")


class Thing:
    """Something with a state."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)


def make(*, resets: bool, **kwargs: Any) -> tuple[Engine, Saved]:
    engine, saved = create_adaptation_engine(lambda engine, batch: {}), Saved()
    handler = RunCheckpoint(
        saved, stateful={"classifier": Thing()}, progress={"results": Thing()}, resets=resets, **kwargs
    )
    handler.attach(engine)
    return engine, saved


FULL, LIGHT = {"engine", "results", "classifier"}, {"engine", "results"}


@pytest.mark.parametrize(("resets", "at_the_end"), [(True, LIGHT), (False, FULL)])
def test_after_every_task_and_so_many_updates(resets: bool, at_the_end: set[str]) -> None:
    engine, saved = make(resets=resets, every_updates=2)
    engine.run(BATCHES, max_epochs=1)
    assert saved.files == {
        "checkpoint_2.pt": FULL,
        "checkpoint_3.pt": at_the_end,  # what it leaves out, the next task's reset restores
        "checkpoint_4.pt": FULL,
        "checkpoint_6.pt": FULL,
        "checkpoint_7.pt": at_the_end,
    }


def test_after_so_many_minutes_since_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

        @classmethod
        def monotonic(cls) -> float:
            return cls.now

    monkeypatch.setattr(checkpoint, "time", Clock)
    engine, saved = make(resets=True, every_minutes=1.5)

    @engine.on(TaskEvents.TASK_STARTED)
    def wait(engine: Engine) -> None:
        Clock.now += 50 if engine.state.task == "fog" else 90  # type: ignore[attr-defined]

    engine.run(BATCHES, max_epochs=1)
    assert list(saved.files) == ["checkpoint_3.pt", "checkpoint_4.pt", "checkpoint_7.pt"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_behind_the_update_at_hand(number: int) -> None:
    engine, saved = make(resets=True)

    @engine.on(TaskEvents.TASK_STARTED)
    def stop(engine: Engine) -> None:
        if engine.state.task == "snow":  # type: ignore[attr-defined]
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match=r"^stopped by a signal after update 4$"):
        engine.run(BATCHES, max_epochs=1)
    assert saved.files == {"checkpoint_3.pt": LIGHT, "checkpoint_4.pt": FULL}


@pytest.mark.parametrize(("later", "ended_by"), [(0.5, None), (2.0, signal.SIGTERM)])
def test_a_second_signal_ends_at_once_unless_it_is_the_same_request(
    later: float, ended_by: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if not child:
        now = 100.0
        monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
        engine, _ = make(resets=True)
        engine.fire_event(Events.STARTED)
        os.kill(os.getpid(), signal.SIGINT)
        now += later
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(3)
    _, status = os.waitpid(child, 0)
    assert (os.WTERMSIG(status) if os.WIFSIGNALED(status) else None) == ended_by
    assert ended_by or os.WEXITSTATUS(status) == 3


def test_a_stop_that_could_not_be_saved_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_adaptation_engine(lambda engine, batch: {})
    saver = AtomicSaver(tmp_path, keep=1)
    RunCheckpoint(saver, stateful={}, progress={"results": Thing()}, resets=True).attach(engine)

    @engine.on(TaskEvents.TASK_STARTED)
    def stop(engine: Engine) -> None:
        if engine.state.task == "snow":  # type: ignore[attr-defined]
            monkeypatch.setattr(atomic_saver.torch, "save", full)
            os.kill(os.getpid(), signal.SIGTERM)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(
        Interrupted, match=r"after update 4, which is not saved; the newest checkpoint is checkpoint_3\.pt$"
    ):
        engine.run(BATCHES, max_epochs=1)
