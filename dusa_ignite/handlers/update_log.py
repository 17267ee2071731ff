"""Every update's numbers, a JSON object per line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from dusa_ignite.engine import TaskEvents, batch_of, output_of
from dusa_ignite.handlers.append import AppendedFile


class UpdateLog(AppendedFile):
    """Appends a line per update to a file (in the first process only): iteration, task, the update's loss, the metrics
    of the task so far and the guidance diagnostics. Numbers that are not finite are written as ``null``.

    Args:
        path: the file.

    Example:
        >>> UpdateLog(folder / "metrics.jsonl").attach(engine)
    """

    def attach(self, engine: Engine) -> None:
        """Write after every update."""
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Write the update at hand."""
        state = engine.state
        output = output_of(engine)
        numbers = {"update_loss": output["loss"], **state.metrics, **output["diagnostics"]}
        line = {
            "iteration": state.iteration,
            "task": batch_of(engine)["task"],
            **{name: finite_or_none(value) for name, value in numbers.items() if isinstance(value, int | float)},
        }
        self.append(json.dumps(line) + "\n")


def finite_or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def read_update_log(path: Path) -> list[dict[str, Any]]:
    """The lines of an update log."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
