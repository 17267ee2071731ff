"""Finding images in folders of any depth, and the label map that belongs to each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dusa_ignite.data.files import image_extensions
from dusa_ignite.data.segmentation.mapped_images import MappedImages
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError


class Found(NamedTuple):
    """What a folder and those below it hold: paths relative to it, sorted, with forward slashes."""

    images: list[str]
    others: list[str]


def images_below(folder: Path) -> Found:
    """All files below a folder but hidden ones, images by their names and others.

    Raises:
        DataError: a folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot list this folder ({error.strerror})") from error

    extensions = image_extensions()
    images: list[str] = []
    others: list[str] = []
    for place, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            path = (Path(place) / name).relative_to(folder).as_posix()
            (images if os.path.splitext(name)[1].lower() in extensions else others).append(path)
    return Found(sorted(images), sorted(others))


def paired_task(
    name: str,
    folder: Path,
    *,
    images: Sequence[str],
    map_of: Callable[[str], Path] | None,
    classes: tuple[str, ...],
    zero_is_unknown: bool = False,
    left_out: Sequence[str] = (),
) -> Task:
    """A task of images and their label maps.

    Args:
        name: the task's.
        folder: the images are relative to it.
        images: at least one, else it is an error.
        map_of: where an image's label map lies; ``None`` = they have none.
        classes: names.
        zero_is_unknown, left_out: see :class:`MappedImages`.

    Raises:
        DataError: there is no image, or one without a label map.
    """
    if not images:
        raise DataError(f"{folder}: holds no images of task {name}")
    maps = None if map_of is None else [map_of(image) for image in images]
    missing = [number for number, path in enumerate(maps or ()) if not path.is_file()]
    if maps is not None and missing:
        raise DataError(
            f"{maps[missing[0]]}: no such label map, for {folder / images[missing[0]]}; {len(missing)} of "
            f"{len(images)} images have none: add them, or move these images elsewhere"
        )
    dataset = MappedImages(
        folder,
        files=images,
        maps=maps,
        num_classes=len(classes),
        zero_is_unknown=zero_is_unknown,
        left_out=[str(folder / path) for path in left_out],
    )
    return Task(name, dataset, classes)
