"""Lines, or a bar, that say how far a run is."""

from __future__ import annotations

import logging
import math
import os
import sys
from typing import Any

import pytest
from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.handlers import Progress, progress
from dusa_ignite.handlers.progress import _clock


class Clock:
    """Stands in for the ``time`` module."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("dusa_ignite"), "propagate", True)
    caplog.set_level(logging.INFO, logger="dusa_ignite")
    return caplog


def make(clock: Clock, *, seconds: float, labelled: bool = True, **kwargs: Any) -> Engine:
    """Tasks of four and two updates, each of which takes so many seconds; the accuracy so far is a tenth per update."""

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        clock.now += seconds
        top1 = engine.state.iteration / 10 if labelled else math.nan
        engine.state.metrics |= {"top1": top1, "images_per_second": 12.34}
        return {}

    engine = create_adaptation_engine(update)
    Progress(total=6, **kwargs).attach(engine)
    return engine


BATCHES = [
    *({"task": "fog/5", "first": k == 0, "last": k == 3} for k in range(4)),
    *({"task": "snow/5", "first": k == 0, "last": k == 1} for k in range(2)),
]


def test_lines_at_the_end_of_each_task(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    make(clock, seconds=1.5, bar=False, every_seconds=100).run(BATCHES, max_epochs=1)
    assert lines.messages == [
        "fog/5: update 4/6, top-1 so far 40.0%, 12.3 images/s, 0:00:03 left",
        "snow/5: update 6/6, top-1 so far 60.0%, 12.3 images/s, 0:00:00 left",
    ]


def test_a_line_every_so_many_seconds(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    make(clock, seconds=600, bar=False, every_seconds=1000).run(BATCHES, max_epochs=1)
    assert [message.split(",")[0] for message in lines.messages] == [
        "fog/5: update 2/6",  # 1200 s
        "fog/5: update 4/6",
        "snow/5: update 6/6",
    ]
    assert lines.messages[0].endswith("0:40:00 left")


def test_time_left_of_a_resumed_run(clock: Clock, lines: pytest.LogCaptureFixture) -> None:
    engine = make(clock, seconds=2, bar=False, every_seconds=0)
    engine.load_state_dict(
        {"epoch_length": 6, "max_epochs": 1, "iteration": 3, **dict.fromkeys(engine.state_dict_user_keys, 1)}
    )
    engine.run(BATCHES[3:], max_epochs=1)
    assert [message.split(",")[0] + message.split(",")[-1] for message in lines.messages] == [
        "fog/5: update 4/6 0:00:04 left",
        "snow/5: update 5/6 0:00:02 left",
        "snow/5: update 6/6 0:00:00 left",
    ]


def test_bar(clock: Clock, lines: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    make(clock, seconds=1, bar=True, every_seconds=0).run(BATCHES, max_epochs=1)
    assert [message.split(",")[0] for message in lines.messages] == ["fog/5: update 4/6", "snow/5: update 6/6"]
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("snow/5: 100%")
    assert "6/6" in last
    assert "top-1 so far 60.0%, 12.3 images/s" in last


@pytest.mark.parametrize("bar", [True, False])
def test_no_accuracy_without_labels(
    bar: bool, clock: Clock, lines: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    make(clock, seconds=1.5, bar=bar, labelled=False).run(BATCHES[:4], max_epochs=1)
    assert lines.messages == ["fog/5: update 4/6, 12.3 images/s, 0:00:03 left"]
    assert "top-1" not in capsys.readouterr().err


def test_an_error_closes_the_bar_and_goes_on(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make(clock, seconds=1, bar=True)

    @engine.on(TaskEvents.UPDATE_COMPLETED)
    def fail(engine: Engine) -> None:
        if engine.state.iteration == 2:
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        engine.run(BATCHES, max_epochs=1)
    assert capsys.readouterr().err.endswith("\n")  # what comes next has a line of its own


@pytest.mark.parametrize("how", ["terminate", "interrupt"])
def test_a_run_that_stops_early_closes_the_bar(how: str, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make(clock, seconds=1, bar=True)
    engine.add_event_handler(TaskEvents.UPDATE_COMPLETED(once=2), getattr(engine, how))
    engine.run(BATCHES, max_epochs=1)
    assert capsys.readouterr().err.endswith("\n")
    if how == "interrupt":
        engine.run(BATCHES[2:], max_epochs=1)  # goes on
        assert "6/6" in capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("size", "room"), [((80, 24), True), ((0, 24), False), ((80, 0), False), ((0, 0), False), (None, False)]
)
def test_a_bar_on_terminals_with_room_by_itself(
    size: tuple[int, int] | None, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_terminal_size(descriptor: int) -> os.terminal_size:
        if size is None:
            raise OSError(25, "Inappropriate ioctl for device")
        return os.terminal_size(size)

    monkeypatch.setattr(progress.os, "get_terminal_size", get_terminal_size)
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2, raising=False)
    assert Progress(total=1).use_bar is room
    assert Progress(total=1, bar=not room).use_bar is not room


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.4, "0:00:59"), (59.6, "0:01:00"), (3661, "1:01:01"), (360000, "100:00:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert _clock(seconds) == text
