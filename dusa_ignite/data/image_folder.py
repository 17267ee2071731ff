"""Any images in folders: a task per sub-folder, or a single task; with labels or without."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from dusa_ignite.data.class_names import labels_of, sorted_names
from dusa_ignite.data.files import (
    LabelledFiles,
    Listing,
    existing_folder,
    labelled_files,
    left_out_line,
    scan_folder,
    scan_folders,
)
from dusa_ignite.data.named_classes import NamedClasses
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.nearest import nearest
from dusa_ignite.utils.section import PathText, as_tuple

LAYOUTS = "<task>/<class>/<image>, or <class>/<image> for a single task; without labels <task>/<image> or <image>"


class ImageFolder(NamedClasses):
    """Images in folders: a task per sub-folder, or a single task; with labels or without."""

    name: Literal["image_folder"] = "image_folder"
    root: PathText = Field(min_length=1, description="folder of <task>/<class>/* or <class>/*")
    only: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(as_tuple)] | None = Field(
        default=None, description="names of the tasks that are taken, * for any part, such as ['*/5']; null = all"
    )

    def tasks(self) -> list[Task]:
        """What :func:`image_folder_tasks` finds.

        Raises:
            DataError: the folder or the classes' file cannot be used.
        """
        return self._tasks(None)

    def survey(self, problems: list[str]) -> list[Task]:
        """The tasks without the folders that are no class; each of these is a problem."""
        try:
            return self._tasks(problems)
        except DataError as error:
            problems.append(str(error))
            return []

    def _tasks(self, problems: list[str] | None) -> list[Task]:
        return image_folder_tasks(self.root, classes=self.class_names(), only=self.only, problems=problems)


def image_folder_tasks(
    root: str | Path,
    *,
    classes: tuple[str, ...] | None = None,
    only: Sequence[str] | None = None,
    key: str = "data.root",
    problems: list[str] | None = None,
) -> list[Task]:
    """The tasks of a folder, sorted by name; images may differ in size.

    Layouts are told apart by how deep the images lie:

    - ``<root>/<task>/<class>/<image>``: a task per sub-folder, named after it;
    - ``<root>/<corruption>/<severity>/<class>/<image>``: a task per folder of classes, ``<corruption>/<severity>``;
    - ``<root>/<class>/<image>``: a single task, named after the root;
    - ``<root>/<task>/<image>``: a task without labels (all -1) per sub-folder;
    - ``<root>/<image>``: a single task without labels.

    The third and the fourth look alike. With ``classes``, sub-folders are classes where all of them are in it, tasks
    where none is, and an error where some are. Without ``classes`` they are taken for classes; whoever knows the
    classifier has to see to it that this can be (:mod:`dusa_ignite.runs.class_check`).

    Args:
        root: the folder.
        classes: class names in the order of the labels; ``None`` = the names of all tasks' class folders, sorted (as
            integers where all are). A class needs no folder. Names are matched by
            :func:`dusa_ignite.data.class_names.labels_of`.
        only: names of the tasks that are taken, with ``*`` for any part of one; ``None`` = all.
        key: the option that names the folder, for error messages.
        problems: a folder that is no class is left out and added here, in the words of the error; ``None`` = it is one.

    Returns:
        Tasks with the same classes; none (``()``) where no image has a label and ``classes`` is ``None``.

    Raises:
        DataError: a folder is missing or without images, the layout is mixed or too deep, or a class folder is not in
            ``classes``.
    """
    folder = existing_folder(root, expected=f"a folder that holds {LAYOUTS}", key=key)
    top = scan_folder(folder)
    _check_alike([top], key)
    if top.images:
        _taken([top], folder, only)
        return [_unlabelled_task(top, _name(top, folder), classes or ())]
    below = scan_folders(folder / name for name in top.folders)
    _check_alike(below, key)
    deep = any(child.folders for child in below)
    if not deep and (classes is None or not below or _are_classes(below, classes, problems)):
        names = sorted_names(child.path.name for child in below) if classes is None else classes
        _taken([top], folder, only)
        return [_task(top, _name(top, folder), below, names, key, problems)]
    if deep:
        level = _taken(_task_level(below, key), folder, only)
        groups = [(task, scan_folders(task.path / name for name in task.folders)) for task in level]
        found = sorted_names(class_folder.path.name for _, children in groups for class_folder in children)
        tasks = [
            _task(task, _name(task, folder), children, classes or found, key, problems) for task, children in groups
        ]
    else:
        tasks = [_unlabelled_task(task, _name(task, folder), classes or ()) for task in _taken(below, folder, only)]
    _left_out(tasks[0])[:0] = [str(top.path / name) for name in top.others]
    return tasks


def _task_level(below: list[Listing], key: str) -> list[Listing]:
    """The folders that hold class folders: ``below``, or where these hold folders of class folders, those within."""
    firsts = scan_folders(listing.path / listing.folders[0] for listing in below if listing.folders)
    if not any(first.folders for first in firsts):
        return below
    level = scan_folders(listing.path / name for listing in below for name in listing.folders)
    _check_alike(level, key)
    return level


def _taken(tasks: list[Listing], root: Path, only: Sequence[str] | None) -> list[Listing]:
    """Those whose names match one of ``only``.

    Raises:
        DataError: one of ``only`` matches none.
    """
    if only is None:
        return tasks
    names = [_name(task, root) for task in tasks]
    for pattern in only:
        if not fnmatch.filter(names, pattern):
            raise DataError(f"data.only: {pattern!r} matches no task; nearest: {nearest(pattern, names)}")
    return [task for task, name in zip(tasks, names, strict=True) if any(fnmatch.fnmatchcase(name, p) for p in only)]


def _are_classes(folders: Sequence[Listing], classes: tuple[str, ...], problems: list[str] | None) -> bool:
    """Whether sub-folders are classes, else tasks.

    Raises:
        DataError: some are, some are not, and problems are not collected.
    """
    known = labels_of([folder.path.name for folder in folders], classes)
    strange = [folder.path for folder in folders if folder.path.name not in known]
    if known and strange and problems is None:
        raise DataError(
            f"{_not_listed(strange[0], classes)}; {len(known)} of {len(folders)} folders beside it are there. Where "
            "none is, each is a task of unlabelled images"
        )
    return bool(known)


def _not_listed(folder: Path, classes: Sequence[str]) -> str:
    near = nearest(folder.name, classes)
    return f"{folder}: is not in data.classes (nearest: {near!r}); rename the folder or add it there"


def _task(
    task: Listing,
    name: str,
    class_folders: list[Listing],
    classes: tuple[str, ...],
    key: str,
    problems: list[str] | None,
) -> Task:
    label_of = labels_of([class_folder.path.name for class_folder in class_folders], classes)
    for class_folder in class_folders:
        if class_folder.folders:
            raise DataError(
                f"{class_folder.path / class_folder.folders[0]}: lies too deep; {key} must hold {LAYOUTS}: "
                "is it one level too high?"
            )
        if class_folder.path.name not in label_of:
            if problems is None:
                raise DataError(_not_listed(class_folder.path, classes))
            problems.append(_not_listed(class_folder.path, classes))
    class_folders = [class_folder for class_folder in class_folders if class_folder.path.name in label_of]
    dataset = labelled_files(task.path, class_folders, label_of=label_of)
    dataset.left_out[:0] = [str(task.path / other) for other in task.others]
    if not len(dataset):
        raise DataError(_no_images(task.path, dataset.left_out, f"{task.path}/<class>/<image>"))
    return Task(name=name, dataset=dataset, classes=classes)


def _unlabelled_task(listing: Listing, name: str, classes: tuple[str, ...]) -> Task:
    left_out = [str(listing.path / other) for other in listing.others]
    if not listing.images:
        raise DataError(_no_images(listing.path, left_out, f"{listing.path}/<image>"))
    dataset = LabelledFiles(listing.path, files=listing.images, labels=[-1] * len(listing.images), left_out=left_out)
    return Task(name=name, dataset=dataset, classes=classes)


def _left_out(task: Task) -> list[str]:
    return task.dataset.left_out  # type: ignore[attr-defined]


def _no_images(folder: Path, left_out: Sequence[str], expected: str) -> str:
    return f"{folder}: holds no images; expected {expected}" + (f"; {left_out_line(left_out)}" if left_out else "")


def _check_alike(listings: list[Listing], key: str) -> None:
    """All folders of one level hold images, or all hold folders (empty ones aside)."""
    image = next((listing.path / listing.images[0] for listing in listings if listing.images), None)
    folder = next((listing.path / listing.folders[0] for listing in listings if listing.folders), None)
    if image and folder:
        raise DataError(f"{image}: an image on the same level as the folder {folder}; {key} must hold {LAYOUTS}")


def _name(task: Listing, root: Path) -> str:
    """The task's path below the root; the root's own name where it is the root."""
    return task.path.relative_to(root).as_posix() if task.path != root else os.path.basename(os.path.abspath(root))
