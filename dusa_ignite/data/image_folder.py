"""Any labelled images in folders: a task per sub-folder, or a single task."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from dusa_ignite.data.files import LabelledFiles, Listing, existing_folder, labelled_files, scan_folder, scan_folders
from dusa_ignite.data.stream import Task
from dusa_ignite.errors import DataError

LAYOUTS = "<task>/<class>/<image>, or <class>/<image> for a single task"


def image_folder_tasks(
    root: str | Path, *, classes: Sequence[str] | str | Path | None = None, key: str = "data.root"
) -> list[Task]:
    """The tasks of a folder, sorted by name; images may differ in size.

    Three layouts are told apart by how deep the images lie:

    - ``<root>/<task>/<class>/<image>``: a task per sub-folder, named after it;
    - ``<root>/<class>/<image>``: a single task, named after the root;
    - ``<root>/<image>``: a single task without labels (all -1); ``classes`` must then be given.

    Args:
        root: the folder.
        classes: class names in the order of the labels: a list, or a text file with one name per line; ``None`` = the
            sorted names of all tasks' class folders. A class needs no folder, but every class folder must be a class.
        key: the option that names the folder, for error messages.

    Raises:
        DataError: a folder is missing or without images, the layout is mixed or too deep, a class folder is not in
            ``classes``, or the classes' file cannot be used.
    """
    folder = existing_folder(root, expected=f"a folder that holds {LAYOUTS}", key=key)
    names = None if classes is None else _class_names(classes)
    top = scan_folder(folder)
    _check_alike([top])
    if top.images:
        return [_unlabelled_task(top, names)]
    below = scan_folders(folder / name for name in top.folders)
    _check_alike(below)
    if any(child.folders for child in below):
        groups = [(task, scan_folders(task.path / name for name in task.folders)) for task in below]
    else:
        groups = [(top, below)]
    if names is None:
        names = tuple(sorted({class_folder.path.name for _, children in groups for class_folder in children}))
    return [_task(task.path, children, names) for task, children in groups]


def _task(folder: Path, class_folders: list[Listing], classes: tuple[str, ...]) -> Task:
    label_of = {name: label for label, name in enumerate(classes)}
    for class_folder in class_folders:
        if class_folder.folders:
            raise DataError(
                f"{class_folder.path / class_folder.folders[0]}: lies too deep; data.root must hold {LAYOUTS}: "
                "is it one level too high?"
            )
        if class_folder.path.name not in label_of:
            nearest = difflib.get_close_matches(class_folder.path.name, classes, n=1, cutoff=0.0)[0]
            raise DataError(
                f"{class_folder.path}: is not in data.classes (nearest: {nearest!r}); rename the folder or add it there"
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


def _check_alike(listings: list[Listing]) -> None:
    """All folders of one level hold images, or all hold folders (empty ones aside)."""
    image = next((listing.path / listing.images[0] for listing in listings if listing.images), None)
    folder = next((listing.path / listing.folders[0] for listing in listings if listing.folders), None)
    if image and folder:
        raise DataError(f"{image}: an image on the same level as the folder {folder}; data.root must hold {LAYOUTS}")


def _class_names(classes: Sequence[str] | str | Path) -> tuple[str, ...]:
    if isinstance(classes, (str, Path)):
        source = str(classes)
        names = _read_lines(Path(classes).expanduser())
    else:
        source = "data.classes"
        names = list(classes)
    if not names:
        raise DataError(f"{source}: names no class")
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{source}: name {number} is empty, but every position is a label")
        if name in first:
            raise DataError(f"{source}: {name!r} is named twice, as number {first[name]} and {number}")
        first[name] = number
    return tuple(names)


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; data.classes must be a list, or a file with a name per line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the class names ({error})") from error
    return [line.strip() for line in text.rstrip().splitlines()]


def _name(folder: Path) -> str:
    return os.path.basename(os.path.abspath(folder))
