"""The paths of images, where they are files."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dusa_ignite.data import Task


class ImagePaths:
    """Names the file of an image: relative to a folder where it lies below it, else to its data set's own folder.

    A data set has files if it has ``files``, a list of as many paths as it has images, and perhaps ``root``, the folder
    that they are relative to. Several joined into one (the setting ``mixed``) name those of each.

    Args:
        tasks: of the run.
        root: the folder that paths are relative to, such as ``data.root``; ``None`` = every data set's own.

    Example:
        >>> ImagePaths(tasks, root=Path("photos"))("fog", 17)
        'fog/cat/17.png'
    """

    def __init__(self, tasks: Sequence[Task], *, root: str | Path | None = None) -> None:
        self.root = None if root is None else Path(root).expanduser().absolute()
        self.parts = {task.name: [self._files(part) for part in _parts(task.dataset)] for task in tasks}
        self.ends = {task.name: getattr(task.dataset, "ends", [len(task.dataset)]) for task in tasks}

    def __call__(self, task: str, index: int) -> str:
        """The path, with forward slashes; empty where the image is no file."""
        ends = self.ends[task]
        number = bisect_right(ends, index)
        folder, files = self.parts[task][number]
        path = f"{folder}{files[index - (int(ends[number - 1]) if number else 0)]}" if files else ""
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")  # names need not be UTF-8

    def _files(self, dataset: Any) -> tuple[str, Sequence[str]]:
        """What stands before its paths, and these."""
        files, own = getattr(dataset, "files", ()), getattr(dataset, "root", None)
        if not isinstance(files, Sequence) or len(files) != len(dataset):  # a user's own, and of another meaning
            return "", ()
        if self.root is None or not isinstance(own, str | Path):
            return "", files
        below = os.path.relpath(Path(own).absolute(), self.root).replace(os.sep, "/")
        return "" if below == "." or below.startswith("..") else f"{below}/", files


def _parts(dataset: Any) -> Sequence[Any]:
    """The data sets that one has been joined of, or it alone."""
    return getattr(dataset, "datasets", [dataset])
