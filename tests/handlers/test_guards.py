"""Skipped updates are counted, and too many in a row end the run."""

from __future__ import annotations

import logging
import math
import re
from typing import Any

import pytest

from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.errors import UserError
from dusa_ignite.handlers import NonFiniteGuard


def run(skipped: list[bool | None], max_in_a_row: int) -> tuple[NonFiniteGuard, int]:
    """A run whose updates are skipped or not (``None`` = there is nothing to learn from), three to a task."""
    reached = 0

    def update(engine: Any, batch: dict[str, Any]) -> dict[str, Any]:
        nonlocal reached
        reached = engine.state.iteration
        one = skipped[reached - 1]
        return {"loss": math.nan if one is None else 1.0, "diagnostics": {} if one is None else {"skipped_update": one}}

    engine = create_adaptation_engine(update)
    guard = NonFiniteGuard(max_in_a_row=max_in_a_row)
    guard.attach(engine)
    batches = [{"task": f"task{k // 3}", "first": k % 3 == 0, "last": k % 3 == 2} for k in range(len(skipped))]
    try:
        engine.run(batches, max_epochs=1)
    except UserError as error:
        guard.error = error  # type: ignore[attr-defined]
    return guard, reached


@pytest.mark.parametrize("max_in_a_row", [1, 2, 10])
def test_stops_at_exactly_so_many(max_in_a_row: int) -> None:
    skipped = [True] * (max_in_a_row - 1) + [False] + [True] * (max_in_a_row + 2)
    guard, reached = run(skipped, max_in_a_row)
    assert reached == 2 * max_in_a_row
    assert guard.state_dict() == {"in_a_row": max_in_a_row}


def test_the_message_names_update_and_task() -> None:
    guard, reached = run([False, True, True, True], max_in_a_row=3)
    assert reached == 4
    assert str(guard.error) == (  # type: ignore[attr-defined]
        "3 updates in a row had a loss or gradient that is not finite, the last at update 4 (task task1); "
        "lower optimizer.lr, or try run.precision=float32"
    )


def test_a_good_update_starts_the_count_again() -> None:
    guard, reached = run([True, True, False, True, True, False, True], max_in_a_row=3)
    assert reached == 7
    assert guard.in_a_row == 1


def test_batches_without_anything_to_learn_from_do_not_count() -> None:
    guard, reached = run([None] * 5, max_in_a_row=1)
    assert (guard.in_a_row, reached) == (0, 5)
    guard, reached = run([None, True, None, True, None, True, None], max_in_a_row=3)
    assert reached == 6


def test_each_skipped_update_is_reported(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("dusa_ignite"), "propagate", True)
    run([False, True, False, True], max_in_a_row=3)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "skipped update 2 (task task0): its loss or a gradient is not finite"),
        ("WARNING", "skipped update 4 (task task1): its loss or a gradient is not finite"),
    ]


def test_state_dict() -> None:
    guard = NonFiniteGuard(max_in_a_row=3)
    guard.load_state_dict({"in_a_row": 2})
    assert guard.state_dict() == {"in_a_row": 2}
    engine = create_adaptation_engine(lambda engine, batch: {"diagnostics": {"skipped_update": 1.0}})
    guard.attach(engine)
    with pytest.raises(UserError, match=re.escape("3 updates in a row")):
        engine.run([{"task": "a", "first": True, "last": True}], max_epochs=1)
