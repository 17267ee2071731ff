"""The order of events, and runs that are cut and go on."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Average
from support.toys import numbered_task, through_a_file, without_times

from dusa_ignite.data.stream import TaskStream
from dusa_ignite.engine import TaskEvents, TaskWise, batch_of, create_adaptation_engine, output_of
from dusa_ignite.handlers import NonFiniteGuard, TaskResults, attach_metrics, task_metrics

BATCHES = [  # two tasks, of two batches and of one
    {"task": "a", "first": True, "last": False, "value": 1.0},
    {"task": "a", "first": False, "last": True, "value": 3.0},
    {"task": "b", "first": True, "last": True, "value": 10.0},
]


def value_update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
    return {"value": batch["value"]}


def mean_value() -> Average:
    return Average(lambda output: output["value"])


def test_order_of_events() -> None:
    log: list[str] = []

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        log.append("update")
        return {"value": batch["value"]}

    engine = create_adaptation_engine(update)
    for event in (TaskEvents.UPDATE_COMPLETED, TaskEvents.TASK_COMPLETED, TaskEvents.TASK_STARTED):
        engine.add_event_handler(event, lambda e, name: log.append(f"{name} {e.state.task}"), event.value)
    for event in (Events.STARTED, Events.ITERATION_STARTED, Events.ITERATION_COMPLETED, Events.COMPLETED):
        engine.add_event_handler(event, lambda e, name: log.append(name), event.value)
    engine.run(BATCHES, max_epochs=1)
    assert log == [
        "started",
        "task_started a",
        "iteration_started",
        "update",
        "iteration_completed",
        "update_completed a",
        "iteration_started",
        "update",
        "iteration_completed",
        "task_completed a",
        "update_completed a",
        "task_started b",
        "iteration_started",
        "update",
        "iteration_completed",
        "task_completed b",
        "update_completed b",
        "completed",
    ]


def test_a_task_completes_after_its_metrics() -> None:
    engine = create_adaptation_engine(value_update)
    seen: list[tuple[str, float]] = []
    so_far: list[float] = []
    engine.add_event_handler(
        TaskEvents.TASK_COMPLETED, lambda e: seen.append((e.state.task, e.state.metrics["mean_value"]))
    )
    engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, lambda e: so_far.append(e.state.metrics["mean_value"]))
    mean_value().attach(engine, "mean_value", TaskWise())  # after the handlers that read it
    engine.run(BATCHES, max_epochs=1)
    assert seen == [("a", 2.0), ("b", 10.0)]
    assert so_far == [1.0, 2.0, 10.0]


def test_a_second_run_starts_over() -> None:
    engine = create_adaptation_engine(value_update)
    log: list[tuple[str, int, dict[str, float]]] = []
    engine.add_event_handler(
        TaskEvents.TASK_COMPLETED, lambda e: log.append((e.state.task, e.state.iteration, dict(e.state.metrics)))
    )
    engine.run(BATCHES, max_epochs=1)
    mean_value().attach(engine, "late", TaskWise())  # between the runs: still ahead of TASK_COMPLETED
    engine.run(BATCHES, max_epochs=1)
    assert log == [("a", 2, {}), ("b", 3, {}), ("a", 2, {"late": 2.0}), ("b", 3, {"late": 10.0})]


def test_a_second_run_of_a_stream_meets_the_same_batches() -> None:
    stream = TaskStream([numbered_task("a", 5), numbered_task("b", 3)], batch_size=2, seed=0)
    seen: list[list[int]] = []
    engine = create_adaptation_engine(lambda engine, batch: seen.append(batch["index"].tolist()) or {})
    engine.run(stream, max_epochs=1)
    engine.run(stream, max_epochs=1)
    assert len(seen) == 10
    assert seen[:5] == seen[5:]


def test_state_of_an_update() -> None:
    engine = create_adaptation_engine(value_update)

    @engine.on(TaskEvents.UPDATE_COMPLETED)
    def look(engine: Engine) -> None:
        assert batch_of(engine) is BATCHES[engine.state.iteration - 1]
        assert output_of(engine) == {"value": batch_of(engine)["value"]}
        assert engine.state.task == batch_of(engine)["task"]  # type: ignore[attr-defined]

    engine.run(BATCHES, max_epochs=1)
    assert engine.state.iteration == 3


def test_filters_count_updates_and_tasks() -> None:
    engine = create_adaptation_engine(value_update)
    seen: list[str] = []
    engine.add_event_handler(TaskEvents.UPDATE_COMPLETED(every=2), lambda e: seen.append(f"update {e.state.iteration}"))
    engine.add_event_handler(TaskEvents.TASK_STARTED(once=2), lambda e: seen.append(f"start {e.state.task}"))
    engine.add_event_handler(TaskEvents.TASK_COMPLETED(every=2), lambda e: seen.append(f"end {e.state.task}"))
    removed = engine.add_event_handler(TaskEvents.TASK_STARTED, lambda: seen.append("never"))
    removed.remove()
    for _ in range(2):
        engine.run(BATCHES, max_epochs=1)
        assert seen == ["update 2", "start b", "end b"]
        assert engine.state.task_number == 2  # type: ignore[attr-defined]
        seen.clear()


def test_what_ignites_loggers_ask_for() -> None:
    engine = create_adaptation_engine(value_update)
    steps: dict[str, list[int]] = {event.value: [] for event in TaskEvents}
    for event in TaskEvents:
        engine.add_event_handler(
            event, lambda e, event: steps[event.value].append(e.state.get_event_attrib_value(event)), event
        )
    engine.run(BATCHES, max_epochs=1)
    assert steps == {"task_started": [1, 2], "task_completed": [1, 2], "update_completed": [1, 2, 3]}


@pytest.mark.parametrize("where", ["update", TaskEvents.TASK_STARTED, TaskEvents.TASK_COMPLETED])
def test_exceptions_come_out_as_they_are(where: Any) -> None:
    error = ValueError("mine")
    completed: list[int] = []

    def fail(*_: Any) -> Any:
        raise error

    engine = create_adaptation_engine(fail if where == "update" else value_update)
    engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, lambda e: completed.append(e.state.iteration))
    if where != "update":
        engine.add_event_handler(where, fail)
    with pytest.raises(ValueError, match="mine") as caught:
        engine.run(BATCHES, max_epochs=1)
    assert caught.value is error
    assert completed == ([1] if where == TaskEvents.TASK_COMPLETED else [])


# Cut in the middle, and resumed

CLASSES = 7


def predict(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
    """Logits that depend on task and index alone; every fourth update is skipped and has no loss."""
    generator = torch.Generator().manual_seed(len(batch["task"]))
    table = torch.randn(20, CLASSES, generator=generator)
    skipped = engine.state.iteration % 4 == 0
    return {
        "y_pred": table[batch["index"]],
        "y": batch["labels"] % CLASSES,
        "loss": math.nan if skipped else float(batch["index"].sum()),
        "diagnostics": {"skipped_update": float(skipped)},
    }


class Run:
    """An engine with everything attached that counts; ``log`` gets all numbers after every update."""

    def __init__(self) -> None:
        self.engine = create_adaptation_engine(predict)
        self.metrics = task_metrics(num_classes=CLASSES)
        self.results = TaskResults(metrics=list(self.metrics))
        self.guard = NonFiniteGuard(max_in_a_row=3)
        self.started: list[str] = []
        self.log: dict[int, Any] = {}
        attach_metrics(self.engine, self.metrics)
        self.results.attach(self.engine)
        self.guard.attach(self.engine)
        self.engine.add_event_handler(TaskEvents.TASK_STARTED, lambda e: self.started.append(e.state.task))
        self.engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self._write)

    def _write(self, engine: Engine) -> None:
        batch = batch_of(engine)
        numbers = {name: value for name, value in engine.state.metrics.items() if name != "images_per_second"}
        self.log[engine.state.iteration] = (batch["task"], batch["index"].tolist(), repr(numbers))

    def stateful(self) -> dict[str, Any]:
        return {"engine": self.engine, "results": self.results, "guard": self.guard, **self.metrics}

    def go(self) -> Run:
        tasks = [numbered_task("a", 7), numbered_task("bb", 8), numbered_task("ccc", 1)]  # 3, 3 and 1 batches
        self.engine.run(TaskStream(tasks, batch_size=3, seed=1), max_epochs=1)
        return self

    def rows(self) -> str:
        return repr([without_times(row) for row in self.results.rows])


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 6])
def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(cut: int) -> None:
    whole = Run().go()
    assert whole.started == ["a", "bb", "ccc"]
    assert [log[0] for log in whole.log.values()] == ["a"] * 3 + ["bb"] * 3 + ["ccc"]

    first = Run()
    saved: dict[str, Any] = {}

    @first.engine.on(TaskEvents.UPDATE_COMPLETED(once=cut))
    def save() -> None:
        saved.update(through_a_file({name: thing.state_dict() for name, thing in first.stateful().items()}))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.go()
    assert list(first.log) == list(range(1, cut + 1))

    resumed = Run()
    for name, thing in resumed.stateful().items():
        thing.load_state_dict(saved[name])
    resumed.go()
    assert resumed.started == {1: ["bb", "ccc"], 2: ["bb", "ccc"], 3: ["bb", "ccc"]}.get(cut, ["ccc"])
    assert {**first.log, **resumed.log} == whole.log
    assert list(resumed.log) == list(range(cut + 1, 8))
    assert resumed.rows() == whole.rows()
    assert resumed.engine.state.task_number == 3  # type: ignore[attr-defined]
    assert resumed.guard.state_dict() == whole.guard.state_dict()
