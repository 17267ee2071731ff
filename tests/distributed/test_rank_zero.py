"""What the first process alone does, all processes learn of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.processes import in_processes
from torch import distributed as dist

from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.errors import ConfigError, StoppedEarly

ERRORS = (ConfigError("seed: wrong"), ZeroDivisionError("a defect"), StoppedEarly("stopped by a signal"))


def fail(error: BaseException) -> None:
    raise error


def ranks_and_errors() -> list[Any]:
    """What this process hears of."""
    heard: list[Any] = [on_rank_zero(dist.get_rank), on_rank_zero(lambda: {"a": [1, None]})]
    for error in ERRORS:
        try:
            on_rank_zero(lambda error=error: fail(error))  # type: ignore[misc]
        except BaseException as caught:
            heard.append(f"{type(caught).__name__}: {caught}")
    return heard


def test_all_processes_learn_what_the_first_one_returns_or_raises(tmp_path: Path) -> None:
    first, second = in_processes(ranks_and_errors, tmp_path)
    values = [0, {"a": [1, None]}, "ConfigError: seed: wrong"]
    stopped = "StoppedEarly: stopped by a signal"
    assert first == [*values, "ZeroDivisionError: a defect", stopped]
    assert second == [*values, "RuntimeError: the first process failed: ZeroDivisionError('a defect')", stopped]


def test_a_single_process_is_the_first_one() -> None:
    assert on_rank_zero(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError, match="a defect"):
        on_rank_zero(lambda: fail(ZeroDivisionError("a defect")))
