"""A list of files that narrows a data set, such as the 5,000 images of ImageNet-C that most benchmark tables use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dusa_ignite.data.named_images import NamedImages
from dusa_ignite.data.task import LabelledImages, Task, has_label_maps
from dusa_ignite.errors import DataError
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.text_files import read_regular

MAX_BYTES = 2**30  # of a list
SHOWN = 3  # paths in an error


class Chosen:
    """Some of a data set's images, whatever it is.

    Args:
        dataset: the whole.
        positions: of its images, in the order wanted.
    """

    def __init__(self, dataset: LabelledImages, positions: Sequence[int]) -> None:
        self.dataset = dataset
        self.positions = list(positions)
        self.labels = np.asarray(dataset.labels)[self.positions]
        self.has_label_maps = has_label_maps(dataset)
        names = list(_positions(dataset))
        self.files = [names[position] for position in self.positions]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        return self.dataset[self.positions[index]]

    def fingerprint(self) -> str:
        """Of the whole's, and the positions."""
        return hashlib.sha256(f"{self.dataset.fingerprint()} {self.positions}".encode()).hexdigest()


def narrowed(tasks: Sequence[Task], path: str) -> list[Task]:
    """The tasks with those of their images that a list names, in the data set's order.

    A line of the list is the path of an image. One that begins with the name of a task is that task's
    (``fog/5/n01440764/a.JPEG``); another one stands for an image of every task (``n01440764/a.JPEG``). Images that lie
    in no files of their own are called by their position in the task, from 0.

    Args:
        tasks: of a data set.
        path: of the list, UTF-8; empty lines do not count.

    Raises:
        DataError: the list cannot be read or is empty, it names images that are not there (the first three are shown),
            or none of some task's.
    """
    lines = _lines(path)
    known = {task.name: _positions(task.dataset) for task in tasks}
    taken: dict[str, set[int]] = {task.name: set() for task in tasks}
    missing = []
    for line in lines:
        of_one = [(owner, name) for owner, name in _splits(line) if name in known.get(owner, ())]
        wanted = of_one or [(task.name, line) for task in tasks]
        lacking = [owner for owner, name in wanted if name not in known[owner]]
        if lacking:
            missing.append(line if len(lacking) == len(tasks) else f"{line} (of task {lacking[0]})")
        for owner, name in wanted:
            if name in known[owner]:
                taken[owner].add(known[owner][name])
    if missing:
        verb, more = "is" if len(missing) == 1 else "are", ", ..." * (len(missing) > SHOWN)
        example = next(iter(known[tasks[0].name]))
        raise DataError(
            f"data.files: {path}: of its {len(lines)} paths {len(missing)} {verb} not in the data: "
            f"{', '.join(missing[:SHOWN])}{more}; expected paths such as {example} or {tasks[0].name}/{example}"
        )
    for task in tasks:
        if not taken[task.name]:
            raise DataError(f"data.files: {path}: names no image of task {task.name}; add some, or leave the task out")
    return [replace(task, dataset=_chosen(task.dataset, sorted(taken[task.name]))) for task in tasks]


def describe_list(path: str | None, tasks: Sequence[Task]) -> dict[str, Any] | None:
    """Which list narrows the data, for run.json; ``None`` where none does.

    Args:
        path: of the list.
        tasks: narrowed.
    """
    if path is None:
        return None
    digest = hashlib.sha256(_read(path)).hexdigest()
    return {"path": path, "sha256": digest, "images": {task.name: len(task.dataset) for task in tasks}}


def list_line(listed: Mapping[str, Any] | None) -> str:
    """Which list narrows the data, for a table's header; empty where none does.

    Args:
        listed: of :func:`describe_list`.
    """
    if not listed:
        return ""
    counts = listed["images"].values()
    count = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    name = listed["path"].rpartition("/")[2]
    return f"only the images listed in {name} (SHA-256 {listed['sha256'][:12]}): {count} per task"


def _lines(path: str) -> list[str]:
    text = _read(path).decode("utf-8-sig", errors="surrogateescape")
    lines = [line.strip().removeprefix("./") for line in text.splitlines()]
    found = list(dict.fromkeys(line for line in lines if line))
    if not found:
        raise DataError(f"data.files: {path}: is empty; expected a path per line")
    return found


def _read(path: str) -> bytes:
    try:
        return read_regular(expanded(path), limit=MAX_BYTES)
    except OSError as error:
        raise DataError(f"data.files: {path}: cannot read this list ({error.strerror})") from error


def _splits(line: str) -> Iterator[tuple[str, str]]:
    """What may be the name of a task, and the rest: ``fog/5/a`` -> (fog, 5/a), (fog/5, a)."""
    parts = line.split("/")
    for count in range(1, len(parts)):
        yield "/".join(parts[:count]), "/".join(parts[count:])


def _positions(dataset: LabelledImages) -> dict[str, int]:
    """Position by name, in order."""
    files = getattr(dataset, "files", None)
    names = range(len(dataset)) if files is None else files
    return {str(name): position for position, name in enumerate(names)}


def _chosen(dataset: LabelledImages, positions: list[int]) -> LabelledImages:
    return dataset.chosen(positions) if isinstance(dataset, NamedImages) else Chosen(dataset, positions)
