"""The stream of batches that runs through all tasks."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from dusa_ignite.data.order import correlated_order, task_order
from dusa_ignite.data.pixels import what_is_wrong
from dusa_ignite.data.task import Images, Task
from dusa_ignite.engine import Batch, Labels
from dusa_ignite.errors import DataError

logger = logging.getLogger(__name__)


class BatchPlan(NamedTuple):
    """Where one global batch comes from: ``indices`` of ``tasks[task]``, and its place within that task."""

    task: int
    indices: np.ndarray
    first: bool
    last: bool


class TaskStream:
    """All batches of a run, task after task; no batch spans two tasks.

    Iterating yields :class:`dusa_ignite.engine.Batch` dicts. With several processes each yields its own contiguous
    share of every global batch, possibly empty.

    Args:
        tasks: in the order they are met; names must differ.
        batch_size: images per update, over all processes; a task's last batch may be smaller.
        seed: with a task's name it fixes the order of the task's images.
        shuffle: whether to draw that order, else data set order.
        correlation: instead, order each task's images so that labels come in bursts, with this concentration > 0 of
            :func:`dusa_ignite.data.order.correlated_order`.
        limit: images per task, a random subset fixed by the seed; ``None`` = all.
        max_batches: batches per task; ``None`` = all.
        num_workers: loader processes; 0 = load in this process.
        on_error: an unreadable image is an error (``"raise"``) or left out and reported (``"skip"``).
        rank: this process, 0 .. world_size - 1.
        world_size: number of processes.

    Raises:
        DataError: two tasks share a name, or (while iterating) an image is unreadable.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        correlation: float | None = None,
        limit: int | None = None,
        max_batches: int | None = None,
        num_workers: int = 0,
        on_error: str = "raise",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise DataError(f"two tasks share a name: {sorted({n for n in names if names.count(n) > 1})}")
        self.tasks = list(tasks)
        self.num_workers = num_workers
        self.on_error = on_error
        self.rank = rank
        self.world_size = world_size
        self.position = 0
        self.plan: list[BatchPlan] = []
        for number, task in enumerate(self.tasks):
            if correlation is None:
                order = task_order(task, seed=seed, shuffle=shuffle, limit=limit)
            else:
                order = correlated_order(task, seed=seed, delta=correlation, limit=limit)
            batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)][:max_batches]
            for k, indices in enumerate(batches):
                self.plan.append(BatchPlan(number, indices, first=k == 0, last=k == len(batches) - 1))

    def __len__(self) -> int:
        """Number of global batches of the whole stream."""
        return len(self.plan)

    def seek(self, position: int) -> None:
        """Let the next iteration begin with batch ``position`` (0 = the stream's first)."""
        self.position = position

    def __iter__(self) -> Iterator[Batch]:
        plan = self.plan[self.position :]
        shares = [np.array_split(entry.indices, self.world_size)[self.rank] for entry in plan]
        loader: DataLoader[Any] = DataLoader(
            _Samples(self.tasks),  # type: ignore[arg-type]
            batch_sampler=[[(entry.task, int(i)) for i in share] for entry, share in zip(plan, shares, strict=True)],
            num_workers=self.num_workers,
            worker_init_fn=_leave_signals_to_the_run,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # loader processes are seeded from it, not from the global generator
        )
        for entry, loaded in zip(plan, loader, strict=True):
            self._report(loaded.unreadable)
            yield {
                "images": loaded.images,
                "labels": loaded.labels,
                "index": loaded.positions,
                "task": self.tasks[entry.task].name,
                "first": entry.first,
                "last": entry.last,
                "unreadable": loaded.unreadable,
            }

    def _report(self, unreadable: list[str]) -> None:
        if unreadable and self.on_error == "raise":
            raise DataError(f"{unreadable[0]}; mend or remove it, or set data.on_error=skip to leave such images out")
        for message in unreadable:
            logger.warning("left out: %s", message)


def stack_images(images: list[torch.Tensor]) -> Images:
    """One tensor (B, C, H, W) where all shapes and dtypes agree, else the list as it is; (0, 3, 1, 1) if it is empty.

    uint8 and float images are never put into one tensor: their white is not the same number.
    """
    if not images:
        return torch.empty(0, 3, 1, 1, dtype=torch.uint8)
    if len({(image.shape, image.dtype) for image in images}) == 1:
        return torch.stack(images)
    return images


def gather_labels(labels: list[int | torch.Tensor]) -> Labels:
    """(B,) int64; label maps stay a list, as their sizes differ."""
    maps = [label for label in labels if isinstance(label, torch.Tensor)]
    return maps or torch.tensor(labels, dtype=torch.int64)


class _Sample(NamedTuple):
    position: int
    image: torch.Tensor
    label: int | torch.Tensor
    error: str


class _Loaded(NamedTuple):
    """What the loader knows of a batch."""

    images: Images
    labels: Labels
    positions: torch.Tensor
    unreadable: list[str]


class _Samples:
    """All tasks' images under (task number, position); a broken image becomes a sample that carries its message.

    So does one that is no image by the rule of :func:`dusa_ignite.data.pixels.what_is_wrong`.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.datasets = [task.dataset for task in tasks]
        self.names = [task.name for task in tasks]

    def __getitem__(self, key: tuple[int, int]) -> _Sample:
        task, index = key
        try:
            image, label = self.datasets[task][index]
        except DataError as error:
            return _Sample(index, torch.empty(0, dtype=torch.uint8), -1, str(error))
        wrong = what_is_wrong(image)
        return _Sample(index, image, label, f"image {index} of task {self.names[task]}: {wrong}" if wrong else "")


def _leave_signals_to_the_run(worker: int) -> None:
    """A signal to the whole process group must not end a loader process before the run has been saved."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _collate(samples: list[_Sample]) -> _Loaded:
    good = [sample for sample in samples if not sample.error]
    return _Loaded(
        images=stack_images([sample.image for sample in good]),
        labels=gather_labels([sample.label for sample in good]),
        positions=torch.tensor([sample.position for sample in good], dtype=torch.int64),
        unreadable=[sample.error for sample in samples if sample.error],
    )
