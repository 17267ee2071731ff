"""Scores of counts of pixels: of one image, of a task, or of everything that was summed up."""

from __future__ import annotations

import numpy as np


def class_iou(counts: np.ndarray) -> np.ndarray:
    """(..., C) intersection over union per class, in [0, 1]; NaN for classes that are neither labelled nor predicted.

    Args:
        counts: (..., 3, C) of :func:`dusa_ignite.segmentation.counts.class_counts`, or sums of them.
    """
    right, labelled, predicted = (np.asarray(counts)[..., row, :].astype(np.float64) for row in range(3))
    return _ratio(right, labelled + predicted - right)


def mean_iou(counts: np.ndarray) -> np.ndarray:
    """(...) mIoU in [0, 1]: the mean over the classes that are labelled or predicted anywhere; NaN without any.

    Counts are summed over all pixels before they are divided, as the field does it. A class that does not occur is left
    out of the mean, as mmsegmentation does; a class that is only predicted counts as 0.

    Args:
        counts: see :func:`class_iou`.
    """
    iou = class_iou(counts)
    there = ~np.isnan(iou)
    return _ratio(np.where(there, iou, 0).sum(axis=-1), there.sum(axis=-1))


def pixel_accuracy(counts: np.ndarray) -> np.ndarray:
    """(...) share of the labelled pixels whose class is right, in [0, 1]; NaN without any.

    Args:
        counts: see :func:`class_iou`.
    """
    sums = np.asarray(counts).sum(axis=-1).astype(np.float64)
    return _ratio(sums[..., 0], sums[..., 1])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
