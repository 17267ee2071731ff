"""What one image adds to the scores: counts of pixels, which may be summed over images, processes and seeds."""

from __future__ import annotations

import torch

from dusa_ignite.data.segmentation.label_maps import UNKNOWN
from dusa_ignite.segmentation.resize import predicted_labels


def confusion_counts(predicted: torch.Tensor, labels: torch.Tensor, *, num_classes: int) -> torch.Tensor:
    """(C, C) int64: how many pixels of class i (row) were predicted as class j (column).

    Args:
        predicted: (H, W) int64, 0 .. num_classes - 1.
        labels: (H, W) int64, 0 .. num_classes - 1, or 255 = unknown: these pixels are not counted, whatever is
            predicted there.
        num_classes: C.

    Raises:
        ValueError: the two differ in their size, or a value is out of its range.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"predictions of {tuple(predicted.shape)} pixels for labels of {tuple(labels.shape)}")
    known = labels != UNKNOWN
    truth, guess = labels[known], predicted[known]
    if any(len(values) and not 0 <= values.min() <= values.max() < num_classes for values in (truth, guess)):
        raise ValueError(f"labels and predictions must be in 0 .. {num_classes - 1}")
    pairs = truth * num_classes + guess
    counts = torch.zeros(num_classes**2, dtype=torch.int64, device=labels.device)
    counts.index_add_(0, pairs, torch.ones_like(pairs))  # on GPUs, bincount would not be deterministic
    return counts.view(num_classes, num_classes)


def class_counts(confusion: torch.Tensor) -> torch.Tensor:
    """(..., 3, C): per class the pixels that are right, that are labelled so, that are predicted so.

    This is all that mIoU, pixel accuracy and IoU per class need, and far less than (..., C, C).

    Args:
        confusion: (..., C, C) of :func:`confusion_counts`, or sums of them.
    """
    right = confusion.diagonal(dim1=-2, dim2=-1)
    return torch.stack([right, confusion.sum(dim=-1), confusion.sum(dim=-2)], dim=-2)


def image_counts(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(3, C): what one image adds, scored at the size of its own label map.

    Args:
        logits: (C, h, w), at any resolution.
        labels: (H, W) int64, 255 = unknown.
    """
    predicted = predicted_labels(logits, size=(labels.shape[0], labels.shape[1]))
    return class_counts(confusion_counts(predicted, labels, num_classes=len(logits)))
