"""The classes that occur in a task, and logits of which only theirs count.

A task may hold some of the classes only: ImageNet-R and ImageNet-A have images of 200 of the 1,000 classes, and their
accuracy is taken among these (Hendrycks et al. 2021, arXiv 2006.16241 and 1907.07174).
"""

from __future__ import annotations

import numpy as np
import torch

from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError


def present_classes(task: Task, *, num_classes: int) -> torch.Tensor:
    """(C,) bool: the classes that occur among the labels of the task's whole data set, whatever ``data.limit`` says.

    Images whose label is unknown (-1) say nothing; in the setting ``mixed``, where tasks are merged, the classes of any
    of them are present.

    Raises:
        DataError: no image of the task has a label.
    """
    labels = np.asarray(task.dataset.labels)
    known = labels[labels >= 0]
    if not len(known):
        raise DataError(
            f"data.score_over: present needs labels, but no image of task {task.name} has one; set data.score_over=all"
        )
    present = torch.zeros(num_classes, dtype=torch.bool)
    present[torch.from_numpy(np.unique(known)).long()] = True
    return present


def mask_absent(logits: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Logits (B, C) with those of absent classes at the lowest finite number: their probability is exactly 0.

    (Minus infinity would make an entropy of such logits NaN.)

    Args:
        logits: (B, C).
        present: (C,) bool.
    """
    return logits.masked_fill(~present.to(logits.device), torch.finfo(logits.dtype).min)


def put_back(logits: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Logits (B, K) of the K present classes in their places among all (B, C), absent ones as in :func:`mask_absent`.

    Args:
        logits: (B, K), in the order of the classes.
        present: (C,) bool, K of them true.
    """
    present = present.to(logits.device)
    everything = logits.new_full((len(logits), len(present)), torch.finfo(logits.dtype).min)
    everything[:, present] = logits
    return everything
