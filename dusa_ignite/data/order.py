"""The order in which a task's images are met: a function of the seed and the task's name alone."""

from __future__ import annotations

import numpy as np

from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.seeding import numpy_generator


def task_order(task: Task, *, seed: int, shuffle: bool, limit: int | None) -> np.ndarray:
    """The task's image positions in the order they are met, a function of (seed, task name) alone."""
    count = len(task.dataset)
    if not shuffle and limit is None:
        return np.arange(count)
    order = numpy_generator(seed, task.name).permutation(count)[:limit]
    return order if shuffle else np.sort(order)


def correlated_order(task: Task, *, seed: int, delta: float, limit: int | None = None) -> np.ndarray:
    """The task's positions in an order in which labels come in bursts.

    The stream has as many sections as there are classes. Each class spreads its images over them in proportions drawn
    from a Dirichlet distribution: the smaller ``delta``, the fewer sections hold most of a class. Within a section
    classes follow one another.

    Args:
        task: with a label for every image.
        seed: with the task's name it fixes the order.
        delta: concentration, > 0; 0.1 in RoTTA.
        limit: images, a random subset; ``None`` = all.

    Raises:
        DataError: an image has no label.
    """
    labels = np.asarray(task.dataset.labels)
    if (labels < 0).any():
        raise DataError(f"{task.name}: setting=correlated needs a label for every image")
    rng = numpy_generator(seed, task.name, "correlated")
    chosen = rng.permutation(len(labels))[:limit]
    classes = np.unique(labels[chosen])
    sections: list[list[np.ndarray]] = [[] for _ in classes]
    for label in classes:
        own = chosen[labels[chosen] == label]
        shares = rng.dirichlet(np.full(len(classes), delta))
        cuts = (np.cumsum(shares)[:-1] * len(own)).round().astype(int)
        for section, part in zip(sections, np.split(own, cuts), strict=True):
            section.append(part)
    return np.concatenate([section[i] for section in sections for i in rng.permutation(len(section))])
