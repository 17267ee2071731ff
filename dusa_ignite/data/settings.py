"""The settings people compare methods in: how tasks are arranged, in which order their images come, and what resets.

fully        every task by itself, the model reset before each (the papers' main tables).
continual    the tasks one after another, never reset (Wang et al. 2022, CoTTA, arXiv 2203.13591).
gradual      every corruption from severity 1 up to 5 and down again, never reset (CoTTA, section 5.2).
mixed        all tasks' images shuffled into a single one (Niu et al. 2023, SAR, arXiv 2302.12400, "mix shifts").
correlated   every task by itself, its images ordered so that labels come in bursts (Gong et al. 2022, NOTE, arXiv
             2208.05117; Yuan et al. 2023, RoTTA, arXiv 2303.13899); the model reset before each.
episodic     reset before every batch, predicted after its update (Zhang et al. 2022, MEMO, arXiv 2110.09506).

All are functions of the seed alone. A further one: a line in :data:`SETTINGS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from dusa_ignite.data.task import LabelledImages, Task, has_label_maps
from dusa_ignite.errors import ConfigError

UP_AND_DOWN = (1, 2, 3, 4, 5, 4, 3, 2, 1)


class Setting(NamedTuple):
    """What one setting does.

    Attributes:
        resets: before what the model goes back to its source weights: every ``task``, every ``batch``, or ``never``.
            Where it is every batch, the predictions that count are made after the batch's update: before it the model
            would always be the source model.
        arrange: the tasks as they are met, from those of the data set.
        correlated: whether a task's images come in the order of
            :func:`dusa_ignite.data.order.correlated_order`, else as the data set's options say.
    """

    resets: Literal["task", "batch", "never"]
    arrange: Callable[[Sequence[Task]], list[Task]] = list
    correlated: bool = False


class Joined:
    """Several data sets one after the other."""

    def __init__(self, datasets: Sequence[LabelledImages]) -> None:
        self.datasets = datasets
        self.ends = np.cumsum([len(dataset) for dataset in datasets])
        self.labels = np.concatenate([np.asarray(dataset.labels) for dataset in datasets])
        self.has_label_maps = any(map(has_label_maps, datasets))

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        number = int(np.searchsorted(self.ends, index, side="right"))
        start = int(self.ends[number - 1]) if number else 0
        return self.datasets[number][index - start]

    def fingerprint(self) -> str:
        """Of all fingerprints in order."""
        return hashlib.sha256("".join(dataset.fingerprint() for dataset in self.datasets).encode()).hexdigest()


def mixed(tasks: Sequence[Task]) -> list[Task]:
    """One task ``mixed`` of all tasks' images."""
    return [Task("mixed", Joined([task.dataset for task in tasks]), tasks[0].classes)]


def gradual(tasks: Sequence[Task]) -> list[Task]:
    """Every corruption at severities 1, 2, 3, 4, 5, 4, 3, 2, 1; on the way down names end in ``-``.

    Args:
        tasks: named ``<corruption>/<severity>``, every corruption at all five severities.

    Raises:
        ConfigError: severities are missing, or the tasks have none.
    """
    by_name = {task.name: task for task in tasks}
    corruptions = list(dict.fromkeys(task.name.rpartition("/")[0] for task in tasks))
    wanted = [
        (f"{corruption}/{severity}", "" if step < 5 else "-")
        for corruption in corruptions
        for step, severity in enumerate(UP_AND_DOWN)
    ]
    missing = sorted({name for name, _ in wanted if name not in by_name})
    if not any("/" in name for name in by_name):
        raise ConfigError(
            f"setting: gradual needs corruptions in severities 1 to 5 (data.name=imagenet_c, for one); the tasks "
            f"here, {', '.join(list(by_name)[:3])}{', ...' * (len(by_name) > 3)}, have none; take fully or continual"
        )
    if missing:
        raise ConfigError(f"setting: gradual needs data.severities=[1, 2, 3, 4, 5]; missing: {', '.join(missing[:3])}")
    return [Task(name + mark, by_name[name].dataset, by_name[name].classes) for name, mark in wanted]


SETTINGS: dict[str, Setting] = {
    "fully": Setting(resets="task"),
    "continual": Setting(resets="never"),
    "gradual": Setting(resets="never", arrange=gradual),
    "mixed": Setting(resets="task", arrange=mixed),
    "correlated": Setting(resets="task", correlated=True),
    "episodic": Setting(resets="batch"),
}
"""Every setting by its name in the config."""
