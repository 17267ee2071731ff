"""Accuracy, calibration and loss of the current task, as Ignite metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Accuracy, Average, Metric, TopKCategoricalAccuracy
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce

from dusa_ignite.engine import TaskWise

Pair = tuple[torch.Tensor, torch.Tensor]


class ExpectedCalibrationError(Metric):
    """How far confidence and accuracy lie apart, in [0, 1] (Guo et al. 2017, arXiv 1706.04599, equation 3).

    Confidences are sorted into ``num_bins`` bins of equal width, the bin of confidence q being the k with
    k / num_bins < q <= (k + 1) / num_bins; the result is the mean over images of |accuracy - confidence| of their bin.

    ``update`` expects logits (B, C) and labels (B,).

    Args:
        num_bins: usually 15.
    """

    _state_dict_all_req_keys = ("_counts", "_confidences", "_hits")

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        num_bins: int = 15,
        device: str | torch.device = "cpu",
    ) -> None:
        self.num_bins = num_bins
        super().__init__(output_transform=output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        """Empty all bins."""
        self._counts = torch.zeros(self.num_bins, dtype=torch.float64, device=self._device)
        self._confidences = torch.zeros_like(self._counts)
        self._hits = torch.zeros_like(self._counts)

    @reinit__is_reduced
    def update(self, output: Pair) -> None:
        """Add logits (B, C) and labels (B,)."""
        logits, labels = output[0].detach(), output[1]
        confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
        hits = (predicted == labels).double().to(self._device)
        confidence = confidence.to(self._device)
        bins = (confidence * self.num_bins).ceil().long().sub(1).clamp(0, self.num_bins - 1)
        self._counts.index_add_(0, bins, torch.ones_like(confidence))  # on GPUs, bincount would not be deterministic
        self._confidences.index_add_(0, bins, confidence)
        self._hits.index_add_(0, bins, hits)

    @sync_all_reduce("_counts", "_confidences", "_hits")
    def compute(self) -> float:
        """The error over all images so far; NaN without any."""
        if not self._counts.sum():
            return math.nan
        return float((self._hits - self._confidences).abs().sum() / self._counts.sum())


class NaNIfEmpty:
    """Makes a metric NaN, instead of an error, where nothing has been counted in any process."""

    def compute(self) -> float:
        try:
            return float(super().compute())  # type: ignore[misc]
        except NotComputableError:
            return math.nan


class FiniteAverage(NaNIfEmpty, Average):
    """Ignite's average, over the finite numbers only; NaN where there is none."""

    def update(self, output: float) -> None:
        """Add a number."""
        if math.isfinite(output):
            super().update(output)


class Top1(NaNIfEmpty, Accuracy):
    """Ignite's accuracy, NaN without labels."""


class Top5(NaNIfEmpty, TopKCategoricalAccuracy):
    """Ignite's top-5 accuracy, NaN without labels."""


def labelled(output: dict[str, Any], key: str = "y_pred") -> Pair:
    """The logits (N, C) under ``key`` and the labels (N,) of the images whose label is known."""
    known = output["y"] >= 0
    return output[key][known], output["y"][known]


def task_metrics(
    *, num_classes: int, ema: bool = False, source: bool = False, device: str | torch.device = "cpu"
) -> dict[str, Metric]:
    """The metrics of the current task, by name: ``top1``, ``top5`` (beyond five classes), ``ece``, ``loss``, with
    ``ema`` the averaged norms' ``ema_top1``, and with ``source`` the source model's ``source_top1`` and ``agreement``,
    the share of the images for which it predicts the same class.

    Args:
        num_classes: of the classifier.
        ema: whether the output carries ``ema_y_pred``.
        source: whether the output carries ``source_y_pred``.
        device: where counts are kept.
    """
    metrics: dict[str, Metric] = {"top1": Top1(labelled, device=device)}
    if num_classes > 5:
        metrics["top5"] = Top5(k=5, output_transform=labelled, device=device)
    metrics["ece"] = ExpectedCalibrationError(labelled, device=device)
    if ema:
        metrics["ema_top1"] = Top1(lambda output: labelled(output, "ema_y_pred"), device=device)
    if source:
        metrics["source_top1"] = Top1(lambda output: labelled(output, "source_y_pred"), device=device)
        metrics["agreement"] = Top1(lambda output: (output["y_pred"], output["source_y_pred"].argmax(1)), device=device)
    metrics["loss"] = FiniteAverage(loss_once, device=device)
    return metrics


def loss_once(output: dict[str, Any]) -> float:
    """The loss in the first process alone: it is that of the global batch in all of them."""
    return output["loss"] if idist.get_rank() == 0 else math.nan


class MetricSums:
    """The state of metrics that count and add up, as sums over all processes: another number of them can go on from it.

    Args:
        metrics: their state consists of numbers and tensors that are summed over processes.
    """

    def __init__(self, metrics: dict[str, Metric]) -> None:
        self.metrics = metrics

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Every metric's sums; all processes must call it."""
        return {
            name: {key: _summed(getattr(metric, key)) for key in metric._state_dict_all_req_keys}
            for name, metric in self.metrics.items()
        }

    def load_state_dict(self, state: dict[str, dict[str, Any]]) -> None:
        """Give the sums to the first process, zeros to the others."""
        for name, metric in self.metrics.items():
            metric.reset()
            for key, value in state[name].items() if idist.get_rank() == 0 else ():
                setattr(metric, key, value.to(metric._device, copy=True) if isinstance(value, torch.Tensor) else value)


def _summed(value: Any) -> Any:
    if idist.get_world_size() == 1:
        return value.clone() if isinstance(value, torch.Tensor) else value
    return idist.all_reduce(value.clone() if isinstance(value, torch.Tensor) else value)


def attach_metrics(engine: Engine, metrics: dict[str, Metric]) -> None:
    """Keep ``engine.state.metrics[name]`` at each metric's value over the current task so far."""
    for name, metric in metrics.items():
        metric.attach(engine, name, usage=TaskWise())
