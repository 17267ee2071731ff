"""A row per task."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.errors import DataError
from dusa_ignite.handlers import TaskResults, task_results


def batch(task: str, *, first: bool, last: bool, images: int, skipped: bool, unreadable: int) -> dict[str, Any]:
    return {
        "task": task,
        "first": first,
        "last": last,
        "images": images,
        "skipped": skipped,
        "unreadable": ["broken"] * unreadable,
    }


BATCHES = [
    batch("fog", first=True, last=False, images=4, skipped=False, unreadable=0),
    batch("fog", first=False, last=True, images=2, skipped=True, unreadable=1),
    batch("snow", first=True, last=True, images=1, skipped=True, unreadable=2),
]


class Clock:
    """Stands in for the ``time`` module: an update takes half a second, loading its batch another."""

    def __init__(self) -> None:
        self.now = 10.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(task_results, "time", clock)
    return clock


def make(clock: Clock, **kwargs: Any) -> tuple[Engine, TaskResults]:
    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        clock.now += 0.5
        engine.state.metrics["top1"] = engine.state.iteration / 4
        diagnostics = {"skipped_update": 1.0} if batch["skipped"] else {}
        return {"y": torch.zeros(batch["images"]), "diagnostics": diagnostics}

    engine = create_adaptation_engine(update)
    results = TaskResults(metrics=["top1"], **kwargs)
    results.attach(engine)
    return engine, results


def loaded(clock: Clock, batches: list[dict[str, Any]]) -> Any:
    class Loader:
        def __len__(self) -> int:
            return len(batches)

        def __iter__(self) -> Any:
            for one in batches:
                clock.now += 0.5
                yield one

    return Loader()


FOG = {
    "task": "fog",
    "images": 6,
    "top1": 0.5,
    "seconds": 2.0,
    "images_per_second": 3.0,
    "skipped_updates": 1,
    "unreadable": 1,
}
SNOW = {
    "task": "snow",
    "images": 1,
    "top1": 0.75,
    "seconds": 1.0,
    "images_per_second": 1.0,
    "skipped_updates": 1,
    "unreadable": 2,
}


def test_rows(clock: Clock) -> None:
    seen: list[list[str]] = []
    engine, results = make(clock, on_row=lambda rows: seen.append([row["task"] for row in rows]))
    so_far: list[tuple[int, float]] = []
    engine.add_event_handler(
        TaskEvents.UPDATE_COMPLETED,
        lambda e: so_far.append((e.state.metrics["images"], e.state.metrics["images_per_second"])),
    )
    engine.run(loaded(clock, BATCHES), max_epochs=1)
    assert results.rows == [FOG, SNOW]
    assert list(results.rows[0]) == list(FOG)
    assert all(type(row[name]) is int for row in results.rows for name in ("images", "skipped_updates", "unreadable"))
    assert so_far == [(4, 4.0), (6, 3.0), (1, 1.0)]
    assert seen == [["fog"], ["fog", "snow"]]


def test_a_task_without_a_readable_image_is_an_error(clock: Clock) -> None:
    engine, results = make(clock)
    empty = [batch("snow", first=k == 0, last=k == 1, images=0, skipped=True, unreadable=2) for k in range(2)]
    message = "task snow: none of its 4 images could be read, see the log; mend them, or leave the task out"
    with pytest.raises(DataError, match=f"^{message}$"):
        engine.run(loaded(clock, [*BATCHES[:2], *empty]), max_epochs=1)
    assert results.rows == [FOG]


def test_time_between_runs_does_not_count(clock: Clock) -> None:
    engine, results = make(clock)
    clock.now += 1000
    engine.run(loaded(clock, BATCHES), max_epochs=1)
    assert [row["seconds"] for row in results.rows] == [2.0, 1.0]


def test_state_dict_goes_on_in_the_middle_of_a_task(clock: Clock) -> None:
    engine, results = make(clock)
    saved: dict[str, Any] = {}

    @engine.on(TaskEvents.UPDATE_COMPLETED)
    def save(engine: Engine) -> None:
        if engine.state.iteration == 1:
            saved.update(results=results.state_dict(), engine=engine.state_dict())

    engine.run(loaded(clock, BATCHES), max_epochs=1)
    assert saved["results"]["rows"] == []
    assert saved["results"]["totals"] == {"images": 4, "skipped_updates": 0, "unreadable": 0, "seconds": 1.0}
    clock.now += 1000
    engine, resumed = make(clock)
    resumed.load_state_dict(saved["results"])
    engine.load_state_dict(saved["engine"])
    engine.run(loaded(clock, BATCHES[1:]), max_epochs=1)
    assert resumed.rows == [FOG, SNOW]
    state = resumed.state_dict()
    state["rows"][0]["top1"] = -1
    assert resumed.rows[0]["top1"] == 0.5
