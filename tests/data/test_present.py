"""The classes that a task holds, and logits of which only theirs count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dusa_ignite.data import Task
from dusa_ignite.data.present import mask_absent, present_classes, put_back
from dusa_ignite.data.settings import Joined, mixed
from dusa_ignite.errors import DataError


class Labelled:
    """A data set of which only the labels are looked at."""

    def __init__(self, *labels: int) -> None:
        self.labels = np.array(labels)

    def __len__(self) -> int:
        return len(self.labels)


def task(name: str, *labels: int) -> Task:
    return Task(name, Labelled(*labels), tuple("abcdef"))  # type: ignore[arg-type]


def test_classes_that_occur() -> None:
    assert present_classes(task("one", 3, 1, 1, -1), num_classes=6).tolist() == [False, True, False, True, False, False]


def test_of_tasks_that_are_mixed_those_of_any() -> None:
    (together,) = mixed([task("one", 3, 1), task("two", 5, 1)])
    assert isinstance(together.dataset, Joined)
    assert present_classes(together, num_classes=6).nonzero().flatten().tolist() == [1, 3, 5]


def test_without_labels_nobody_knows() -> None:
    with pytest.raises(DataError) as caught:
        present_classes(task("one", -1, -1), num_classes=6)
    assert str(caught.value) == (
        "data.score_over: present needs labels, but no image of task one has one; set data.score_over=all"
    )


def test_absent_classes_have_no_probability() -> None:
    present = torch.tensor([True, False, True])
    logits = torch.tensor([[0.0, 50.0, 0.0], [1.0, 2.0, 3.0]])
    masked = mask_absent(logits, present)
    assert masked.isfinite().all()
    assert masked.softmax(1)[0].tolist() == [0.5, 0.0, 0.5]  # by hand: two equal logits are left
    log_p = masked.log_softmax(1)
    assert -(log_p.exp() * log_p).sum(1)[0].item() == pytest.approx(np.log(2))  # no 0 x infinity
    assert torch.equal(put_back(logits[:, present], present), masked)


def test_no_image_stays_no_image() -> None:
    present = torch.tensor([True, False, True])
    assert put_back(torch.empty(0, 2), present).shape == mask_absent(torch.empty(0, 3), present).shape == (0, 3)
