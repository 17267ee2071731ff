"""One row of results per task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.engine import TaskEvents, batch_of, output_of
from dusa_ignite.errors import DataError


class TaskResults:
    """Collects a row as each task completes. Attach it behind the metrics.

    On the way it keeps ``engine.state.metrics["images"]`` and ``["images_per_second"]`` at the task's numbers so far.

    A row has the keys ``task``, ``images``, the names in ``metrics``, ``seconds`` (of the task, loading included),
    ``images_per_second``, ``skipped_updates`` and ``unreadable``; counts are over all processes.

    Args:
        metrics: names in ``engine.state.metrics``.
        on_row: called with all rows so far whenever one has been added.

    Attributes:
        rows: the rows, in task order.

    Example:
        >>> results = TaskResults(metrics=["top1", "loss"])
        >>> results.attach(engine)
    """

    def __init__(self, *, metrics: list[str], on_row: Callable[[list[dict[str, Any]]], None] | None = None) -> None:
        self.metrics = metrics
        self.on_row = on_row
        self.rows: list[dict[str, Any]] = []
        self.totals = {"images": 0.0, "skipped_updates": 0.0, "unreadable": 0.0, "seconds": 0.0}
        self._since = 0.0

    def attach(self, engine: Engine) -> None:
        """Count every update, close the row with the task."""
        engine.add_event_handler(Events.STARTED, self._start_clock)
        engine.add_event_handler(TaskEvents.TASK_STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.count)
        engine.add_event_handler(TaskEvents.TASK_COMPLETED, self.close)

    def _start_clock(self) -> None:
        self._since = time.perf_counter()

    def begin(self) -> None:
        """Start a row."""
        self.totals = dict.fromkeys(self.totals, 0.0)

    def count(self, engine: Engine) -> None:
        """Add the update at hand to the row."""
        batch, output = batch_of(engine), output_of(engine)
        self.totals["images"] += global_sum(len(output["y"]))
        self.totals["unreadable"] += global_sum(len(batch.get("unreadable", ())))
        self.totals["skipped_updates"] += output["diagnostics"].get("skipped_update", 0.0)
        now = time.perf_counter()
        self.totals["seconds"] += now - self._since
        self._since = now
        engine.state.metrics["images"] = int(self.totals["images"])
        engine.state.metrics["images_per_second"] = self.totals["images"] / self.totals["seconds"]

    def close(self, engine: Engine) -> None:
        """Finish the row.

        Raises:
            DataError: none of the task's images could be read.
        """
        now = engine.state.metrics
        if not now["images"]:
            raise DataError(
                f"task {batch_of(engine)['task']}: none of its {int(self.totals['unreadable'])} images could be read, "
                "see the log; mend them, or leave the task out"
            )
        row = {"task": batch_of(engine)["task"], "images": now["images"]}
        row |= {name: now[name] for name in self.metrics}
        row |= {"seconds": self.totals["seconds"], "images_per_second": now["images_per_second"]}
        row |= {name: int(self.totals[name]) for name in ("skipped_updates", "unreadable")}
        self.rows.append(row)
        if self.on_row:
            self.on_row(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Rows and open counts."""
        return {"rows": [dict(row) for row in self.rows], "totals": dict(self.totals)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore rows and open counts."""
        self.rows = [dict(row) for row in state["rows"]]
        self.totals = dict(state["totals"])
