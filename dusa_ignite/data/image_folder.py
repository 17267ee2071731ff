"""Any labelled images in folders: a task per sub-folder, or a single task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from dusa_ignite.data.data_set import DataSet
from dusa_ignite.data.files import LabelledFiles, Listing, existing_folder, labelled_files, scan_folder, scan_folders
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.nearest import nearest

LAYOUTS = "<task>/<class>/<image>, or <class>/<image> for a single task"


class ImageFolder(DataSet):
    """Labelled images in folders: a task per sub-folder, or a single task."""

    name: Literal["image_folder"] = "image_folder"
    root: str = Field(min_length=1, description="folder of <task>/<class>/* or <class>/*")
    classes: str | tuple[str, ...] | None = Field(
        default=None, description="class names in the order of the labels: a list or a text file; null = sorted folders"
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        allowed = "allowed: a file, a list of names, or null"
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError(f"{value!r} is not allowed; {allowed}")
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"{name!r} is not text; {allowed}; quote names that are numbers")
        return checked_names(value)

    def tasks(self) -> list[Task]:
        """What :func:`image_folder_tasks` finds.

        Raises:
            DataError: the folder or the classes' file cannot be used.
        """
        names = read_class_names(self.classes) if isinstance(self.classes, str) else self.classes
        return image_folder_tasks(self.root, classes=names)


def image_folder_tasks(
    root: str | Path, *, classes: tuple[str, ...] | None = None, key: str = "data.root"
) -> list[Task]:
    """The tasks of a folder, sorted by name; images may differ in size.

    Three layouts are told apart by how deep the images lie:

    - ``<root>/<task>/<class>/<image>``: a task per sub-folder, named after it;
    - ``<root>/<class>/<image>``: a single task, named after the root;
    - ``<root>/<image>``: a single task without labels (all -1); ``classes`` must then be given.

    Args:
        root: the folder.
        classes: class names in the order of the labels; ``None`` = the sorted names of all tasks' class folders. A
            class needs no folder, but every class folder must be a class.
        key: the option that names the folder, for error messages.

    Raises:
        DataError: a folder is missing or without images, the layout is mixed or too deep, or a class folder is not in
            ``classes``.
    """
    folder = existing_folder(root, expected=f"a folder that holds {LAYOUTS}", key=key)
    top = scan_folder(folder)
    _check_alike([top], key)
    if top.images:
        return [_unlabelled_task(top, classes)]
    below = scan_folders(folder / name for name in top.folders)
    _check_alike(below, key)
    if any(child.folders for child in below):
        groups = [(task, scan_folders(task.path / name for name in task.folders)) for task in below]
    else:
        groups = [(top, below)]
    if classes is None:
        classes = tuple(sorted({class_folder.path.name for _, children in groups for class_folder in children}))
    return [_task(task.path, children, classes, key) for task, children in groups]


def read_class_names(path: str) -> tuple[str, ...]:
    """The lines of a text file, each of which is a class; its number is the label.

    Raises:
        DataError: the file is missing, unreadable or without names, or a name is empty or stands there twice.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; data.classes must be a list, or a file with a name per line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot read the class names ({error})") from error
    try:
        return checked_names([line.strip() for line in text.rstrip().splitlines()])
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """The class names, if they can be labels.

    Raises:
        ValueError: there is none, one is empty, or one stands there twice.
    """
    if not names:
        raise ValueError("names no class")
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise ValueError(f"name {number} is empty, but every position is a label")
        if name in first:
            raise ValueError(f"{name!r} is named twice, as number {first[name]} and {number}")
        first[name] = number
    return tuple(names)


def _task(folder: Path, class_folders: list[Listing], classes: tuple[str, ...], key: str) -> Task:
    label_of = {name: label for label, name in enumerate(classes)}
    for class_folder in class_folders:
        if class_folder.folders:
            raise DataError(
                f"{class_folder.path / class_folder.folders[0]}: lies too deep; {key} must hold {LAYOUTS}: "
                "is it one level too high?"
            )
        if class_folder.path.name not in label_of:
            raise DataError(
                f"{class_folder.path}: is not in data.classes (nearest: {nearest(class_folder.path.name, classes)!r}); "
                "rename the folder or add it there"
            )
    dataset = labelled_files(folder, class_folders, label_of=label_of)
    if not len(dataset):
        raise DataError(f"{folder}: holds no images; expected {folder}/<class>/<image>")
    return Task(name=_name(folder), dataset=dataset, classes=classes)


def _unlabelled_task(listing: Listing, classes: tuple[str, ...] | None) -> Task:
    if classes is None:
        raise DataError(
            f"{listing.path}: holds images but no class folders; sort them into class folders, or name the classes "
            "with data.classes to go without labels"
        )
    dataset = LabelledFiles(listing.path, files=listing.images, labels=[-1] * len(listing.images))
    return Task(name=_name(listing.path), dataset=dataset, classes=classes)


def _check_alike(listings: list[Listing], key: str) -> None:
    """All folders of one level hold images, or all hold folders (empty ones aside)."""
    image = next((listing.path / listing.images[0] for listing in listings if listing.images), None)
    folder = next((listing.path / listing.folders[0] for listing in listings if listing.folders), None)
    if image and folder:
        raise DataError(f"{image}: an image on the same level as the folder {folder}; {key} must hold {LAYOUTS}")


def _name(folder: Path) -> str:
    return os.path.basename(os.path.abspath(folder))
