"""Can all image files be read? Told from their headers and their ends, so that millions can be asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from dusa_ignite.data.decoding import read_image
from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError

ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # the last bytes of a file that was written to its end
PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"})  # those that are always read
CHUNK = 64  # files that a thread takes at once


class Unreadable(NamedTuple):
    """A file that holds no image that can be read, and why."""

    path: str
    reason: str


def image_files(tasks: Sequence[Task]) -> list[str]:
    """Paths of the tasks' image files, each once; images that are in memory, or in files of another kind, have none."""
    paths = (
        os.path.join(task.dataset.root, file)
        for task in tasks
        if isinstance(task.dataset, LabelledFiles)
        for file in task.dataset.files
    )
    return list(dict.fromkeys(paths))


def unreadable_files(paths: Sequence[str], *, threads: int) -> list[Unreadable]:
    """Those that cannot be read, in the order given; a bar on standard error shows how far it is, on a terminal.

    Args:
        paths: of image files.
        threads: that read, >= 1.
    """
    found: list[Unreadable] = []
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(paths), desc="headers", unit="image", dynamic_ncols=True, disable=None, leave=False) as bar,
    ):
        for chunk, reasons in zip(chunks, pool.map(_reasons, chunks), strict=True):
            found += [Unreadable(path, reason) for path, reason in zip(chunk, reasons, strict=True) if reason]
            bar.update(len(chunk))
    return found


def why_unreadable(path: str) -> str:
    """Why an image file cannot be read; empty if it can.

    A JPEG or PNG with a header and the end that its format prescribes is taken to be whole: damage in between shows
    when it is decoded. Any other file is decoded here.

    Args:
        path: of the file; its format is told from its content, not from its name.
    """
    if _looks_whole(path):
        return ""
    try:
        read_image(path)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def _reasons(paths: Sequence[str]) -> list[str]:
    return [why_unreadable(path) for path in paths]


def _looks_whole(path: str) -> bool:
    try:
        with Image.open(path) as image:  # reads the header alone
            mode, end = image.mode, ENDS.get(str(image.format))
        if end is None or mode not in PLAIN_MODES:
            return False
        with open(path, "rb") as file:
            file.seek(-len(end), os.SEEK_END)
            return file.read() == end
    except Exception:  # on damaged bytes Pillow raises almost any type; decoding will say what it is
        return False
