"""Counts and scores, by hand and against Ignite's confusion matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.metrics import ConfusionMatrix
from torch.nn import functional as F

from dusa_ignite.segmentation.counts import class_counts, confusion_counts, image_counts
from dusa_ignite.segmentation.scores import class_iou, mean_iou, pixel_accuracy

LABELS = torch.tensor([[0, 0, 1], [1, 255, 2]])
PREDICTED = torch.tensor([[0, 1, 1], [1, 2, 0]])


def test_an_image_by_hand() -> None:
    confusion = confusion_counts(PREDICTED, LABELS, num_classes=4)
    assert confusion.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    counts = class_counts(confusion)
    assert counts.tolist() == [[1, 2, 0, 0], [2, 2, 1, 0], [2, 3, 0, 0]]
    iou = class_iou(counts.numpy())
    assert iou[:3].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    assert math.isnan(iou[3])  # neither labelled nor predicted
    assert mean_iou(counts.numpy()) == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)
    assert pixel_accuracy(counts.numpy()) == pytest.approx(3 / 5)


def test_a_class_that_is_only_predicted_counts_as_wrong() -> None:
    counts = class_counts(confusion_counts(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), num_classes=3))
    assert mean_iou(counts.numpy()) == pytest.approx((1 / 2 + 0) / 2)


def test_sums_are_taken_before_the_ratio() -> None:
    one = class_counts(confusion_counts(torch.tensor([[0, 0]]), torch.tensor([[0, 1]]), num_classes=2)).numpy()
    other = class_counts(confusion_counts(torch.tensor([[1] * 6]), torch.tensor([[1] * 6]), num_classes=2)).numpy()
    assert mean_iou(one) == pytest.approx((1 / 2 + 0) / 2)
    assert mean_iou(one + other) == pytest.approx((1 / 2 + 6 / 7) / 2)
    assert pixel_accuracy(one + other) == pytest.approx(7 / 8)
    assert mean_iou(np.stack([one, other])).tolist() == pytest.approx([1 / 4, 1])


def test_the_sum_over_images_is_ignites_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix, total = ConfusionMatrix(num_classes=5), torch.zeros(5, 5, dtype=torch.int64)
    for size in ((4, 7), (9, 3), (2, 2)):
        predicted = torch.randint(5, size, generator=generator)
        labels = torch.randint(6, size, generator=generator)
        labels[labels == 5] = 255
        matrix.update((F.one_hot(predicted, 5).permute(2, 0, 1)[None].float(), labels[None]))
        total += confusion_counts(predicted, labels, num_classes=5)
    assert torch.equal(matrix.compute().long(), total)


def test_an_image_is_scored_at_its_labels_size() -> None:
    logits = torch.zeros(3, 1, 2)
    logits[1, 0] = torch.tensor([-1.0, 3.0])  # positive right of 3/8 of the width
    labels = torch.tensor([[0, 0, 0, 1, 1, 1, 255, 2]] * 5)
    assert image_counts(logits, labels).tolist() == [[15, 15, 0], [15, 15, 5], [15, 20, 0]]


def test_without_labels() -> None:
    counts = class_counts(confusion_counts(torch.zeros(2, 2).long(), torch.full((2, 2), 255), num_classes=3)).numpy()
    assert not counts.any()
    assert math.isnan(mean_iou(counts))
    assert math.isnan(pixel_accuracy(counts))


@pytest.mark.parametrize(
    ("predicted", "labels"), [([[0, 3]], [[0, 0]]), ([[0, 0]], [[0, 3]]), ([[0, -1]], [[0, 0]]), ([[0]], [[0, 0]])]
)
def test_what_cannot_be_counted(predicted: list, labels: list) -> None:
    with pytest.raises(ValueError, match=r"in 0 \.\. 2|pixels for labels"):
        confusion_counts(torch.tensor(predicted), torch.tensor(labels), num_classes=3)
