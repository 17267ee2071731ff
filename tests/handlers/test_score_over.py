"""Predictions and metrics among the classes that a task holds; the update knows all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine

from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.handlers import ScoreOver, attach_metrics, task_metrics

PRESENT = {"few": torch.tensor([True, False, True, False, False, False, True])}
LOGITS = torch.tensor(
    [
        [1.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # among all 1, among the present 0: right
        [0.0, 0.0, 1.0, 0.0, 9.0, 0.0, 2.0],  # 6: wrong, its label is 2
    ]
)
LABELS = torch.tensor([0, 2])


def run(handler: ScoreOver, output: dict[str, torch.Tensor]) -> tuple[Engine, dict[str, Any]]:
    def update(engine: Engine, batch: dict) -> dict[str, Any]:
        return {"y": LABELS, "loss": 0.0, "diagnostics": {}, **output}

    engine = create_adaptation_engine(update)  # type: ignore[arg-type]
    handler.attach(engine)
    attach_metrics(engine, task_metrics(num_classes=7, ema="ema_y_pred" in output))
    engine.run([{"task": "few", "first": True, "last": True}], max_epochs=1)
    return engine, engine.state.output  # type: ignore[return-value]


def test_metrics_are_among_the_present_classes() -> None:
    engine, output = run(ScoreOver(PRESENT), {"y_pred": LOGITS, "ema_y_pred": LOGITS})
    metrics = engine.state.metrics
    assert output["y_pred"].argmax(1).tolist() == [0, 6]
    assert (metrics["top1"], metrics["ema_top1"]) == (0.5, 0.5)
    assert metrics["top5"] == 1.0  # three classes are among the first five
    first, second = 1 / (1 + 2 * 2.718281828**-1), 1 / (1 + 2.718281828**-1 + 2.718281828**-2)  # confidences
    assert metrics["ece"] == pytest.approx((abs(first - 1) + second) / 2, rel=1e-6)  # 0.576 and 0.665: two bins
    assert LOGITS[0, 1] == 9  # the method's own stays


def test_logits_of_the_present_classes_alone_are_put_back() -> None:
    _, whole = run(ScoreOver(PRESENT), {"y_pred": LOGITS})
    _, output = run(ScoreOver(PRESENT, narrow=True), {"y_pred": LOGITS[:, PRESENT["few"]]})
    assert torch.equal(output["y_pred"], whole["y_pred"])


def test_candidates_of_the_present_classes_become_labels_among_all() -> None:
    asked = {"candidates": torch.tensor([[2, 0], [1, 2]])}
    _, output = run(ScoreOver(PRESENT, narrow=True), {"y_pred": LOGITS[:, PRESENT["few"]], **asked})
    assert output["candidates"].tolist() == [[6, 0], [2, 6]]
    _, output = run(ScoreOver(PRESENT), {"y_pred": LOGITS, **asked})
    assert output["candidates"].tolist() == [[2, 0], [1, 2]]


def test_what_is_written_down() -> None:
    assert ScoreOver(PRESENT).largest == 3
    assert ScoreOver(PRESENT).describe() == {"over": "present", "classes": 7, "present": {"few": 3}}
