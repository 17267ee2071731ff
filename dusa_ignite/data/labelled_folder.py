"""A folder of labelled images to learn from: one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dusa_ignite.data.class_names import read_class_names
from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.data.image_folder import ImageFolder, image_folder_tasks
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.paths import expanded

CLASSES = ImageFolder.model_fields["classes"].description


def usable_classes(value: Any) -> Any:
    """``classes`` as a config may have them: a file's name, a list of names, or ``None``.

    Raises:
        ValueError: it is something else.
    """
    return ImageFolder._are_names(value)


def labelled_folder(
    root: str, *, classes: str | tuple[str, ...] | None, key: str
) -> tuple[LabelledFiles, tuple[str, ...]]:
    """The images of ``<root>/<class>/*``, and the classes' names in the order of the labels.

    Args:
        root: the folder.
        classes: names, or a file that lists them; ``None`` = the class folders, sorted.
        key: the option that names the folder, for error messages.

    Raises:
        DataError: it is missing, or holds something else.
    """
    names = read_class_names(classes) if isinstance(classes, str) else classes
    tasks = image_folder_tasks(root, classes=names, key=key)
    files = tasks[0].dataset
    if len(tasks) > 1 or not isinstance(files, LabelledFiles) or (files.labels < 0).any():
        raise DataError(
            f"{root}: {key} must hold a folder per class, with its images: <class>/<image>{_why(tasks, expanded(root))}"
        )
    return files, tasks[0].classes


def _why(tasks: list[Task], folder: Path) -> str:
    """That the folders are none of the classes that were named, if that is it."""
    classes = tasks[0].classes
    labelled = any((np.asarray(task.dataset.labels) >= 0).any() for task in tasks)
    if not classes or labelled or tasks[0].dataset.root == folder:  # type: ignore[attr-defined]
        return ""
    names = [task.name for task in tasks]
    return f"; here are {_some(names)}, and none of the classes {_some(classes)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)
