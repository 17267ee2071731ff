"""Stops a run that no longer learns because its numbers are no longer numbers."""

from __future__ import annotations

import logging
import math
from typing import Any

from ignite.engine import Engine, Events

from dusa_ignite.engine import batch_of, output_of
from dusa_ignite.errors import UserError

logger = logging.getLogger(__name__)


class NonFiniteGuard:
    """Warns of skipped updates and stops after too many in a row.

    Methods skip an update whose loss or gradient is not finite and say so in ``diagnostics["skipped_update"]``; this
    handler counts. A batch without anything to learn from (its loss is NaN) leaves the count as it is.

    Args:
        max_in_a_row: >= 1.

    Raises:
        UserError: (while running) that many updates in a row were skipped.

    Example:
        >>> NonFiniteGuard(max_in_a_row=10).attach(engine)
    """

    def __init__(self, *, max_in_a_row: int = 10) -> None:
        self.max_in_a_row = max_in_a_row
        self.in_a_row = 0

    def attach(self, engine: Engine) -> None:
        """Look at every update."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.check)

    def check(self, engine: Engine) -> None:
        """Count the update at hand."""
        output = output_of(engine)
        if not output["diagnostics"].get("skipped_update"):
            if not math.isnan(output["loss"]):  # NaN: there was nothing to learn from, which is no good update either
                self.in_a_row = 0
            return
        self.in_a_row += 1
        where = f"update {engine.state.iteration} (task {batch_of(engine)['task']})"
        logger.warning("skipped %s: its loss or a gradient is not finite", where)
        if self.in_a_row >= self.max_in_a_row:
            raise UserError(
                f"{self.in_a_row} updates in a row had a loss or gradient that is not finite, the last at {where}; "
                f"lower optimizer.lr, or try run.precision=float32"
            )

    def state_dict(self) -> dict[str, Any]:
        """The count."""
        return {"in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the count."""
        self.in_a_row = state["in_a_row"]
