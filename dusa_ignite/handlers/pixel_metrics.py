"""mIoU and pixel accuracy of the current task, as Ignite metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.metrics import Average, Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce

from dusa_ignite.handlers.metrics import FiniteAverage, NaNIfEmpty, loss_once
from dusa_ignite.segmentation.counts import image_counts
from dusa_ignite.segmentation.scores import mean_iou, pixel_accuracy

Pair = tuple[torch.Tensor, Sequence[torch.Tensor]]


class PixelScore(Metric):
    """A score of the counts of all images so far; NaN without a labelled pixel.

    Ignite's ``ConfusionMatrix`` holds C x C numbers and wants predictions at the labels' size, all of one size; its
    ``mIoU`` counts classes that never occur as 0. So the counts are our own, 3 x C.

    ``update`` expects logits (B, C, h, w) at any resolution, and B label maps (H, W) int64 of any sizes, 255 = unknown.

    Args:
        score: of counts (3, C), see :mod:`dusa_ignite.segmentation.scores`.
        num_classes: C.

    Example:
        >>> PixelScore(mean_iou, num_classes=150).attach(engine, "miou", usage=TaskWise())
    """

    _state_dict_all_req_keys = ("_sums",)

    def __init__(
        self,
        score: Callable[[np.ndarray], np.ndarray],
        *,
        num_classes: int,
        output_transform: Callable[[Any], Any] = lambda output: (output["y_pred"], output["y"]),
        device: str | torch.device = "cpu",
    ) -> None:
        self.score = score
        self.num_classes = num_classes
        super().__init__(output_transform=output_transform, device=device)

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all images."""
        self._sums = torch.zeros(3, self.num_classes, dtype=torch.int64, device=self._device)

    @reinit__is_reduced
    def update(self, output: Pair) -> None:
        """Add logits and label maps."""
        for logits, labels in zip(*output, strict=True):
            self._sums += image_counts(logits.detach(), labels.to(logits.device)).to(self._device)

    @sync_all_reduce("_sums")
    def compute(self) -> float:
        """The score over all processes' images so far."""
        return float(self.score(self._sums.cpu().numpy()))


class Agreement(NaNIfEmpty, Average):
    """The share of the places at which two models predict the same class, a mean over images; NaN without any."""


def pixel_metrics(
    *, num_classes: int, ema: bool = False, source: bool = False, device: str | torch.device = "cpu"
) -> dict[str, Metric]:
    """The metrics of the current task, by name: ``miou``, ``pixel_accuracy``, ``loss``; with ``ema`` the averaged
    norms' ``ema_miou``; with ``source`` the source model's ``source_miou`` and ``agreement``. All but the loss are in
    [0, 1].

    Args:
        num_classes: of the segmenter.
        ema: whether the output carries ``ema_y_pred``.
        source: whether the output carries ``source_y_pred``.
        device: where counts are kept.
    """

    def miou(key: str) -> PixelScore:
        return PixelScore(
            mean_iou, num_classes=num_classes, output_transform=lambda out: (out[key], out["y"]), device=device
        )

    metrics: dict[str, Metric] = {"miou": miou("y_pred")}
    metrics["pixel_accuracy"] = PixelScore(pixel_accuracy, num_classes=num_classes, device=device)
    if ema:
        metrics["ema_miou"] = miou("ema_y_pred")
    if source:
        metrics["source_miou"] = miou("source_y_pred")
        metrics["agreement"] = Agreement(output_transform=_agreement, device=device)
    metrics["loss"] = FiniteAverage(loss_once, device=device)
    return metrics


def _agreement(output: dict[str, Any]) -> torch.Tensor:
    """(B, 1) shares of the logits' places; Ignite averages over the first dimension where there are two."""
    same = output["y_pred"].argmax(dim=1) == output["source_y_pred"].argmax(dim=1)
    return same.double().flatten(1).mean(dim=1, keepdim=True)
