"""Images in folders: listing them, and the data set that they are."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from dusa_ignite.data.decoding import read_image
from dusa_ignite.data.named_images import NamedImages
from dusa_ignite.errors import DataError
from dusa_ignite.utils.paths import expanded

# Pillow knows these by their first bytes, but cannot decode them itself.
NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})

# Listing folders and asking for file sizes is waiting on the disk or the network: threads hide the latency.
IO_THREADS = 16


class Listing(NamedTuple):
    """What one folder holds, by name in sorted order: sub-folders, image files, and files that are no images by name.

    Hidden entries (``.name``) are in none of them.
    """

    path: Path
    folders: list[str]
    images: list[str]
    others: list[str]


class LabelledFiles(NamedImages):
    """A map-style data set of image files.

    Args:
        root: the folder that ``files`` are relative to.
        files: paths relative to ``root``, with forward slashes.
        labels: one per file, -1 = unknown.
        left_out: paths of files beside these that are no images by their names; they are reported, see
            :func:`left_out_line`.
    """

    def __init__(
        self, root: str | Path, *, files: Sequence[str], labels: Sequence[int], left_out: Sequence[str] = ()
    ) -> None:
        super().__init__(files=files, labels=labels, left_out=left_out)
        self.root = Path(root)

    def read(self, index: int) -> torch.Tensor:
        """The image, uint8 RGB (3, H, W) in its own size.

        Raises:
            DataError: the image cannot be read; the message names its path.
        """
        return read_image(self.root / self.files[index])

    def sizes(self) -> list[int]:
        """Bytes of each file, -1 for one that is missing; every file is asked."""
        return [-1 if found is None else found.st_size for found in self._asked()]

    def times(self) -> str:
        """A SHA-256 that changes when a file is written to, even where its size stays."""
        written = [None if found is None else found.st_mtime_ns for found in self._asked()]
        return hashlib.sha256(repr(written).encode()).hexdigest()

    def _asked(self) -> Iterator[os.stat_result | None]:
        paths = [os.path.join(self.root, file) for file in self.files]
        with ThreadPoolExecutor(IO_THREADS) as pool:
            for chunk in pool.map(_stats, [paths[start : start + 1000] for start in range(0, len(paths), 1000)]):
                yield from chunk


def existing_folder(path: str | Path, *, expected: str, key: str = "data.root") -> Path:
    """``path`` (``~`` allowed) as a folder that exists.

    Args:
        path: the folder.
        expected: for the error message, what should stand there.
        key: likewise, the option that names it.

    Raises:
        DataError: there is nothing at ``path``, or a file.
    """
    folder = expanded(path)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder; {key} must name {expected}")
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; {key} must name {expected}")
    return folder


@cache
def image_extensions() -> frozenset[str]:
    """The extensions, in lower case with their dot, of all formats that Pillow decodes, plug-ins of others included.

    Formats that it only tells by name (HDF5, GRIB, MPEG, ...) or hands to other programs (EPS, WMF) are not among them.
    """
    Image.init()
    decoded = Image.OPEN.keys() - NOT_DECODED
    found = {extension.lower() for extension, name in Image.registered_extensions().items() if name in decoded}
    return frozenset({*found, ".mpo"})  # a JPEG with further images behind the first


def scan_folder(folder: str | Path) -> Listing:
    """The sub-folders and image files of one folder, in one pass and without a stat per file.

    A link that leads nowhere counts as an image if it is named like one, so that reading it fails instead of the image
    going missing quietly. Which names are those of images, see :func:`image_extensions`.

    Raises:
        DataError: the folder cannot be listed.
    """
    folders, images, others = [], [], []
    extensions = image_extensions()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif os.path.splitext(entry.name)[1].lower() in extensions:
                    images.append(entry.name)
                else:
                    others.append(entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot list this folder ({error.strerror})") from error
    return Listing(Path(folder), sorted(folders), sorted(images), sorted(others))


def scan_folders(folders: Iterable[str | Path]) -> list[Listing]:
    """:func:`scan_folder` of each, several at a time, in the order given."""
    with ThreadPoolExecutor(IO_THREADS) as pool:
        return list(pool.map(scan_folder, folders))


def labelled_files(root: str | Path, class_folders: Sequence[Listing], *, label_of: dict[str, int]) -> LabelledFiles:
    """The images of a task's class folders ``<root>/<class>/*``, folder by folder.

    Args:
        root: the task's folder.
        class_folders: the listing of each class folder.
        label_of: the label of every class folder's name.
    """
    files = [f"{folder.path.name}/{image}" for folder in class_folders for image in folder.images]
    labels = [label_of[folder.path.name] for folder in class_folders for _ in folder.images]
    left_out = [str(folder.path / name) for folder in class_folders for name in folder.others]
    return LabelledFiles(root, files=files, labels=labels, left_out=left_out)


def left_out_line(paths: Sequence[str], *, examples: int = 3) -> str:
    """``left out 3 files that are no images by their names (2 .txt, 1 without extension), such as a, b, c``.

    Args:
        paths: of the files, at least one.
        examples: how many of them are named.
    """
    kinds = Counter(os.path.splitext(path)[1].lower() or "without extension" for path in paths)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    files = "file that is no image by its name" if len(paths) == 1 else "files that are no images by their names"
    more = ", ..." if len(paths) > examples else ""
    return f"left out {len(paths)} {files} ({counts}), such as {', '.join(paths[:examples])}{more}"


def _stats(paths: list[str]) -> list[os.stat_result | None]:
    return [_stat(path) for path in paths]


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None  # named when it is read, where the caller decides whether to stop or to leave it out
