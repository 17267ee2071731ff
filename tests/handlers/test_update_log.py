"""A line per update."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine

from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.handlers import UpdateLog
from dusa_ignite.handlers.update_log import finite_or_none, read_update_log


def run(path: Path, losses: list[float]) -> None:
    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        engine.state.metrics |= {"top1": 0.25, "images": 3}
        return {"loss": losses[engine.state.iteration - 1], "diagnostics": {"auc": 0.5, "skipped_update": 0.0}}

    engine = create_adaptation_engine(update)
    UpdateLog(path).attach(engine)
    last = len(losses) - 1
    engine.run([{"task": "fog/5", "first": k == 0, "last": k == last} for k in range(last + 1)], max_epochs=1)


def test_lines(tmp_path: Path) -> None:
    run(tmp_path / "log.jsonl", [1.5, math.nan])
    expected = [
        '{"iteration": 1, "task": "fog/5", "update_loss": 1.5, "top1": 0.25, "images": 3, "auc": 0.5, '
        '"skipped_update": 0.0}',
        '{"iteration": 2, "task": "fog/5", "update_loss": null, "top1": 0.25, "images": 3, "auc": 0.5, '
        '"skipped_update": 0.0}',
    ]
    assert (tmp_path / "log.jsonl").read_text() == "\n".join(expected) + "\n"
    assert read_update_log(tmp_path / "log.jsonl") == [json.loads(line) for line in expected]


def test_a_second_log_goes_on_in_the_same_file(tmp_path: Path) -> None:
    run(tmp_path / "log.jsonl", [1.0])
    run(tmp_path / "log.jsonl", [2.0, 3.0])
    assert [line["update_loss"] for line in read_update_log(tmp_path / "log.jsonl")] == [1, 2, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_knows_finite_numbers_only(value: float) -> None:
    assert finite_or_none(value) is None
    assert finite_or_none(0.0) == 0
