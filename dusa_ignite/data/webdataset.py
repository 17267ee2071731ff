"""webdataset's shards: tars in which the files of one sample share a key, ``0001.jpg`` with ``0001.cls``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from dusa_ignite.data.files import image_extensions
from dusa_ignite.data.label_texts import labels_by_text, not_a_label
from dusa_ignite.data.named_classes import NamedClasses
from dusa_ignite.data.tar_images import TarImages
from dusa_ignite.data.tar_index import TarReader, tar_index
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.section import PathText

RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_SHARDS = 10**6
JSON_KEYS = ("label", "cls")  # where the label stands in a sample's json, the first that is there


class Sample(NamedTuple):
    """One image of a shard.

    Attributes:
        name: of the image's file within the shard.
        offset, size: of the image within the shard, in bytes.
        label: as it stands there; empty = unknown.
    """

    name: str
    offset: int
    size: int
    label: str


class Shard(NamedTuple):
    """What a shard holds.

    Attributes:
        path: of the tar.
        samples: in its order.
        others: names of the files of samples without an image.
    """

    path: Path
    samples: list[Sample]
    others: list[str]


class WebDataset(NamedClasses):
    """webdataset's shards, read where they lie."""

    name: Literal["webdataset"] = "webdataset"
    root: PathText = Field(
        min_length=1,
        description="folder of shards (*.tar), of a folder of shards per task, or a pattern, "
        "shard-{000000..000009}.tar",
    )

    def tasks(self) -> list[Task]:
        """A task per folder of shards, named after it; images in the order of the shards and within each of them.

        A sample is an image, with its label in ``<key>.cls``, or under ``label`` or ``cls`` in ``<key>.json``: the name
        of a class or its position. Without any of these it is not known.

        Raises:
            DataError: a shard is missing, truncated or damaged, or a label is none.
        """
        shards = {task: [read_shard(path) for path in found] for task, found in _shards_by_task(self.root).items()}
        texts = (sample.label for task in shards.values() for shard in task for sample in shard.samples)
        label_of, classes = labels_by_text(texts, self.class_names())
        return [Task(task, _images(found, label_of, classes), classes) for task, found in shards.items()]


def expand(pattern: str) -> list[str]:
    """``a-{08..10}.tar`` -> ``a-08.tar``, ``a-09.tar``, ``a-10.tar``; several multiply, the last runs fastest."""
    match = RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + MAX_SHARDS:
        raise DataError(f"data.root: {match[0]}: the range must rise, with at most {MAX_SHARDS:,} shards")
    numbers = [f"{number:0{len(match[1])}d}" for number in range(first, last + 1)]
    rests = expand(pattern[match.end() :])
    return [pattern[: match.start()] + number + rest for number in numbers for rest in rests]


def read_shard(shard: Path) -> Shard:
    """The samples of a shard.

    Raises:
        DataError: the shard cannot be used, or a sample has two images or a label that cannot be read.
    """
    index, reader = tar_index(shard), TarReader(shard)
    samples: dict[str, dict[str, int]] = {}
    for number, name in enumerate(index.names):
        folder, slash, file = name.rpartition("/")
        key, _, extension = file.partition(".")  # the first dot: 1.seg.png is the file seg.png of sample 1
        parts = samples.setdefault(folder + slash + key, {})
        if parts.setdefault(extension.lower(), number) != number:
            raise DataError(f"{shard}: {name}: stands there twice")
    found, others = [], []
    for key, parts in samples.items():
        images = [number for extension, number in parts.items() if f".{extension}" in image_extensions()]
        if len(images) > 1:
            raise DataError(f"{shard}: {key}: has {len(images)} images, {', '.join(index.names[i] for i in images)}")
        if not images:
            others += [index.names[number] for number in parts.values()]
        else:
            contents = {
                extension: reader.read(
                    index.names[number], offset=int(index.offsets[number]), size=int(index.sizes[number])
                )
                for extension, number in parts.items()
                if extension in ("cls", "json")
            }
            place = int(index.offsets[images[0]]), int(index.sizes[images[0]])
            found.append(Sample(index.names[images[0]], *place, _label(f"{shard}: {key}", contents)))
    return Shard(shard, found, others)


def _label(place: str, contents: dict[str, bytes]) -> str:
    try:
        if "cls" in contents:
            return contents["cls"].decode().strip()
        found: Any = json.loads(contents["json"]) if "json" in contents else {}
    except ValueError as error:
        raise DataError(f"{place}: its label cannot be read ({error})") from error
    label = next((found[key] for key in JSON_KEYS if key in found), None) if isinstance(found, dict) else None
    if label is not None and (isinstance(label, bool) or not isinstance(label, (int, str))):
        raise DataError(f"{place}: the label {label!r} is neither a number nor a name")
    return "" if label is None else str(label).strip()


def _images(shards: list[Shard], label_of: dict[str, int], classes: tuple[str, ...]) -> TarImages:
    together = [(number, sample) for number, shard in enumerate(shards) for sample in shard.samples]
    for number, sample in together:
        if sample.label not in label_of:
            raise DataError(f"{shards[number].path}/{sample.name}: {not_a_label(sample.label, classes)}")
    if not together:
        raise DataError(
            f"{shards[0].path}: holds no images; expected <key>.jpg, <key>.png ... with <key>.cls or <key>.json"
        )
    folder = _common_folder([shard.path for shard in shards])
    names = [os.path.relpath(shard.path, folder).replace(os.sep, "/") for shard in shards]
    return TarImages(
        [shard.path for shard in shards],
        files=[f"{names[number]}/{sample.name}" for number, sample in together],
        labels=[label_of[sample.label] for _, sample in together],
        places=np.array([(number, sample.offset, sample.size) for number, sample in together], dtype=np.int64),
        left_out=[f"{shard.path}: {other}" for shard in shards for other in shard.others],
    )


def _common_folder(paths: list[Path]) -> Path:
    """The one that all lie in, or below."""
    return Path(os.path.commonpath([path.absolute().parent for path in paths]))


def _shards_by_task(root: str) -> dict[str, list[Path]]:
    if RANGE.search(root):
        shards = [expanded(path) for path in expand(root)]
        return {_common_folder(shards).name: shards}
    folder = expanded(root)
    if folder.is_file():
        return {folder.stem: [folder]}
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; data.root must name a folder of shards, or a shard-{{00..09}}.tar")
    here = _tars(folder.iterdir())
    below = {path.name: _tars(path.iterdir()) for path in sorted(folder.iterdir()) if path.is_dir()}
    below = {name: shards for name, shards in below.items() if shards}
    if bool(here) == bool(below):
        raise DataError(f"{folder}: expected *.tar in it, or in folders within, and found {'both' if here else 'none'}")
    return {folder.absolute().name: here} if here else below


def _tars(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix == ".tar" and not path.name.startswith("."))
