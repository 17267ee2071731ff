"""Accuracy, calibration and loss, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support.toys import through_a_file

from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.handlers import ExpectedCalibrationError, MetricSums, attach_metrics, task_metrics
from dusa_ignite.handlers.metrics import FiniteAverage, Top1, Top5, labelled

LABELS = torch.tensor([0, 1, 2, -1])
LOGITS = torch.tensor(
    [
        [9.0, 0, 0, 0, 0, 0, 0],  # right
        [9.0, 5, 0, 0, 0, 0, 0],  # second place
        [6.0, 5, 0, 4, 3, 2, 1],  # last place
        [9.0, 0, 0, 0, 0, 0, 0],  # no label
    ]
)


def two_classes(*confidences: float) -> torch.Tensor:
    """Logits that predict class 0 with these confidences, exactly as far as float64 can say."""
    q = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([q.log(), (1 - q).log()], dim=1)


def calibration_error(logits: torch.Tensor, labels: list[int], **kwargs: Any) -> float:
    metric = ExpectedCalibrationError(**kwargs)
    metric.update((logits, torch.tensor(labels, dtype=torch.int64)))
    return metric.compute()


def test_calibration_error_by_hand() -> None:
    # bins of a fifth: {0.55}, {0.65, 0.7, 0.75}, {0.95, 0.85}; right: no | yes, no, yes | yes, yes
    logits = two_classes(0.55, 0.65, 0.7, 0.75, 0.95, 0.85)
    expected = (abs(0 - 0.55) + abs(2 - 2.1) + abs(2 - 1.8)) / 6
    assert calibration_error(logits, [1, 0, 1, 0, 0, 0], num_bins=5) == pytest.approx(expected, abs=1e-12)
    # fifteen bins: 0.65 (0.6, 0.667], 0.7 and 0.75 apart, 0.95 and 0.85 apart
    expected = (0.55 + 0.35 + 0.7 + 0.25 + 0.05 + 0.15) / 6
    assert calibration_error(logits, [1, 0, 1, 0, 0, 0]) == pytest.approx(expected, abs=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    # four bins: 0.5 lies in (0.25, 0.5], 0.6 and 0.75 in (0.5, 0.75], 1 in (0.75, 1]
    logits = torch.cat([two_classes(0.5, 0.6, 0.75), torch.tensor([[2000.0, 0.0]], dtype=torch.float64)])
    expected = (abs(1 - 0.5) + abs(1 - 1.35) + abs(0 - 1.0)) / 4
    assert calibration_error(logits, [0, 1, 0, 1], num_bins=4) == pytest.approx(expected, abs=1e-12)
    assert calibration_error(logits[3:], [0]) == 0


def test_calibration_error_in_pieces() -> None:
    logits, labels = two_classes(0.55, 0.65, 0.7, 0.75), torch.tensor([1, 0, 1, 0])
    metric = ExpectedCalibrationError(num_bins=5)
    for part in (slice(0, 1), slice(1, 1), slice(1, 4)):
        metric.update((logits[part], labels[part]))
    assert metric.compute() == pytest.approx((0.55 + 0.1) / 4, abs=1e-12)
    metric.reset()
    assert math.isnan(metric.compute())


@pytest.mark.parametrize("metric", [ExpectedCalibrationError(), Top1(), Top5(k=5), FiniteAverage()])
def test_no_image_no_number(metric: Any) -> None:
    assert math.isnan(metric.compute())
    if not isinstance(metric, FiniteAverage):
        metric.update((torch.empty(0, 7), torch.empty(0, dtype=torch.int64)))
        assert math.isnan(metric.compute())


def test_images_without_label_do_not_count() -> None:
    logits, labels = labelled({"y_pred": LOGITS, "y": LABELS})
    assert torch.equal(logits, LOGITS[:3])
    assert labels.tolist() == [0, 1, 2]
    other, _ = labelled({"y_pred": LOGITS, "mine": LOGITS * 2, "y": LABELS}, "mine")
    assert torch.equal(other, LOGITS[:3] * 2)


def test_finite_average() -> None:
    metric = FiniteAverage()
    for value in (1.0, math.nan, 4.0, math.inf, -math.inf):
        metric.update(value)
    assert metric.compute() == 2.5
    metric.reset()
    metric.update(math.nan)
    assert math.isnan(metric.compute())


def run(outputs: list[dict[str, Any]], metrics: dict[str, Any]) -> list[dict[str, float]]:
    """The metrics after every update; two updates make a task."""
    engine = create_adaptation_engine(lambda engine, batch: outputs[batch["number"]])
    attach_metrics(engine, metrics)
    numbers: list[dict[str, float]] = []
    engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, lambda e: numbers.append(dict(e.state.metrics)))
    batches = [{"number": k, "task": str(k // 2), "first": k % 2 == 0, "last": k % 2 == 1} for k in range(len(outputs))]
    engine.run(batches, max_epochs=1)
    return numbers


def output(rows: slice, loss: float = 0.0) -> dict[str, Any]:
    return {"y_pred": LOGITS[rows], "ema_y_pred": -LOGITS[rows], "y": LABELS[rows], "loss": loss}


def test_metrics_of_the_task_so_far() -> None:
    outputs = [
        output(slice(0, 2), 2.0),
        output(slice(2, 4), 4.0),
        output(slice(3, 4), math.nan),
        output(slice(1, 3), 5.0),
    ]
    first, second, third, fourth = run(outputs, task_metrics(num_classes=7, ema=True))
    assert list(first) == ["top1", "top5", "ece", "ema_top1", "loss"]
    assert (first["top1"], first["top5"], first["loss"]) == (1 / 2, 1, 2)
    assert (second["top1"], second["top5"], second["loss"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3), 3)
    assert all(math.isnan(third[name]) for name in third)
    assert (fourth["top1"], fourth["top5"], fourth["loss"]) == (0, 1 / 2, 5)
    assert fourth["ema_top1"] == 0.5  # the negative logits: class 2 is the largest of the third image alone


def test_top5_beyond_five_classes_only() -> None:
    assert list(task_metrics(num_classes=5)) == ["top1", "ece", "loss"]
    assert list(task_metrics(num_classes=6)) == ["top1", "top5", "ece", "loss"]


def test_two_classes() -> None:
    outputs = [{"y_pred": torch.tensor([[0.0, 1.0]]), "y": torch.tensor([1]), "loss": 1.0}] * 2
    assert run(outputs, task_metrics(num_classes=2))[-1]["top1"] == 1


def test_an_empty_batch_leaves_the_numbers_as_they_are() -> None:
    first, second = run([output(slice(0, 3), 2.0), output(slice(0, 0), math.nan)], task_metrics(num_classes=7))
    assert first == second


def test_state_dicts() -> None:
    metrics = task_metrics(num_classes=7, ema=True)
    run([output(slice(0, 2), 2.0)], metrics)
    restored = task_metrics(num_classes=7, ema=True)
    for name, metric in metrics.items():
        restored[name].load_state_dict(through_a_file(metric.state_dict()))
        assert restored[name].compute() == metric.compute()
        for each in (metric, restored[name]):
            each.update(each._output_transform(output(slice(2, 4), 7.0)))
        assert restored[name].compute() == metric.compute()
    assert restored["top1"].compute() == pytest.approx(1 / 3)
    assert restored["loss"].compute() == 4.5


def test_sums_of_all_metrics_as_one_state() -> None:
    metrics, restored = (task_metrics(num_classes=7, ema=True) for _ in range(2))
    run([output(slice(0, 2), 2.0)], metrics)
    state = through_a_file(MetricSums(metrics).state_dict())
    run([output(slice(2, 4), 9.0)], restored)  # what it held before is forgotten
    MetricSums(restored).load_state_dict(state)
    before = {name: metric.compute() for name, metric in metrics.items()}
    assert {name: metric.compute() for name, metric in restored.items()} == before
    for metric in restored.values():
        metric.update(metric._output_transform(output(slice(2, 4), 4.0)))
    assert restored["top1"].compute() == pytest.approx(1 / 3)
    assert restored["loss"].compute() == 3
    MetricSums(metrics).load_state_dict(state)  # the state has not moved with the metrics restored from it
    assert {name: metric.compute() for name, metric in metrics.items()} == before
