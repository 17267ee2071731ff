"""The metrics of a task, by hand, over processes, and through a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine
from support.processes import in_processes
from torch.nn import functional as F

from dusa_ignite.handlers.metrics import MetricSums
from dusa_ignite.handlers.pixel_metrics import pixel_metrics

PREDICTED = ([[0, 1, 1], [1, 2, 0]], [[2, 2]], [[0, 0], [0, 1]])
LABELS = ([[0, 0, 1], [1, 255, 2]], [[2, 2]], [[0, 0], [1, 1]])
IOU = (3 / 6, 3 / 5, 2 / 3)  # right 3, 3, 2; labelled 4, 4, 3; predicted at known pixels 5, 4, 2


def outputs() -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
    """Batches of one image; sizes differ."""
    pairs = zip(map(torch.tensor, PREDICTED), map(torch.tensor, LABELS), strict=True)
    return [(F.one_hot(guess, 4).permute(2, 0, 1)[None].double(), [labels]) for guess, labels in pairs]


def computed(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: metric.compute() for name, metric in metrics.items()}


def scores() -> dict[str, Any]:
    """The two that take logits and labels."""
    return {name: metric for name, metric in pixel_metrics(num_classes=4).items() if name != "loss"}


def met(batches: list[Any]) -> dict[str, Any]:
    metrics = scores()
    for batch in batches:
        for metric in metrics.values():
            metric.update(batch)
    return metrics


def test_a_task_by_hand() -> None:
    assert computed(met(outputs())) == {"miou": pytest.approx(sum(IOU) / 3), "pixel_accuracy": pytest.approx(8 / 11)}
    assert all(math.isnan(score) for score in computed(met([])).values())


def test_what_an_output_holds_beside_the_predictions() -> None:
    metrics = pixel_metrics(num_classes=4, ema=True, source=True)
    assert list(metrics) == ["miou", "pixel_accuracy", "ema_miou", "source_miou", "agreement", "loss"]
    engine = Engine(lambda engine, batch: batch)
    for name, metric in metrics.items():
        metric.attach(engine, name)
    batches = [
        {"y_pred": logits, "y": labels, "source_y_pred": logits.flip(1), "ema_y_pred": logits, "loss": float(number)}
        for number, (logits, labels) in enumerate(outputs())
    ]
    batches[0]["source_y_pred"] = batches[0]["y_pred"]
    found = engine.run(batches).metrics
    assert found["ema_miou"] == found["miou"] == pytest.approx(sum(IOU) / 3)
    assert found["agreement"] == pytest.approx(1 / 3)  # equal everywhere in the first image, nowhere in the others
    assert found["source_miou"] < found["miou"]
    assert found["loss"] == 1


def test_label_maps_may_be_larger_than_logits() -> None:
    logits = torch.zeros(2, 2, 1, 1)
    logits[0, 1], logits[1, 0] = 1, 1  # the first image is all class 1, the second all class 0
    metrics = pixel_metrics(num_classes=2)
    metrics["pixel_accuracy"].update((logits, [torch.ones(4, 6).long(), torch.ones(2, 5).long()]))
    assert metrics["pixel_accuracy"].compute() == 24 / 34


def test_sums_go_through_a_checkpoint() -> None:
    first = met(outputs()[:2])
    state = MetricSums(first).state_dict()
    metrics = scores()
    MetricSums(metrics).load_state_dict(state)
    for metric in metrics.values():
        metric.update(outputs()[2])
    assert computed(metrics) == computed(met(outputs()))


def share() -> dict[str, float]:
    """The first process has two of the images, the second one."""
    return computed(met(outputs()[idist.get_rank() :: idist.get_world_size()]))


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    assert in_processes(share, tmp_path) == [share()] * 2
