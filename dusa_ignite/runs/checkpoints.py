"""Checkpoint files are checked in full before they are read."""

from __future__ import annotations

import errno
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.handlers.atomic_saver import reason_of, saved
from dusa_ignite.utils.format import FORMAT_VERSION, why_not
from dusa_ignite.utils.memory import is_out_of_memory

logger = logging.getLogger(__name__)


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The newest undamaged checkpoint, on the CPU; ``None`` if there is none at all. It changes nothing in the folder.

    Raises:
        CheckpointError: there are some, but every one is damaged; or one cannot be read at all.
    """
    return find_newest(folder)[1]


def find_newest(folder: Path, *, set_aside: bool = False) -> tuple[Path | None, dict[str, Any] | None]:
    """The newest undamaged checkpoint: its file and, on the CPU, its content; ``None`` if there is none at all.

    Args:
        folder: of the checkpoints.
        set_aside: rename newer, damaged ones to ``*.damaged``, so that they no longer count among those to keep.

    Raises:
        CheckpointError: there are some, but every one is damaged; or one cannot be read at all.
    """
    damaged = []
    for path in saved(folder):
        try:
            content = _checked(path)
        except DamagedError as error:
            logger.warning("%s; trying the one before", error)
            damaged.append(path)
            continue
        for other in damaged if set_aside else []:
            _set_aside(other)
        return path, _of_this_format(path, content)
    if damaged:
        names = ", ".join(path.name for path in damaged)
        raise CheckpointError(f"{folder}: every checkpoint is damaged ({names}); start again with --overwrite")
    return None, None


def load(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Tensors and plain values of a checkpoint that has been checked, on the CPU.

    Args:
        path: the file.
        mapped: leave the tensors in the file until they are read; it must not be changed as long as they are in use.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"{path}: {reason_of(error)}") from error
        raise CheckpointError(f"{path}: cannot be read ({reason_of(error)}); every process needs to see it") from error
    return _of_this_format(path, content)


def _of_this_format(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's content without its format version, which must be this code's."""
    found = content.pop("format_version", 1)
    if found != FORMAT_VERSION:
        raise CheckpointError(f"{path}: {why_not(found)}")
    return content


class DamagedError(CheckpointError):
    """A checkpoint's content is not what was written."""


def _checked(path: Path) -> dict[str, Any]:
    """Check every byte against the file's checksums, then load tensors and plain values only."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise DamagedError(f"{path}: damaged at {broken}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (DamagedError, MemoryError):
        raise
    except Exception as error:  # zipfile, pickle and torch raise many kinds for damaged files
        if (
            isinstance(error, OSError) and error.errno != errno.EINVAL
        ):  # EINVAL: sent to a place before the file's start
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}); mend that, then --resume") from error
        reason = reason_of(error)
        if is_out_of_memory(error):
            raise MemoryError(f"{path}: {reason}") from error
        raise DamagedError(f"{path}: damaged ({reason})") from error


def _set_aside(path: Path) -> None:
    try:
        path.rename(path.with_name(path.name + ".damaged"))
    except OSError as error:
        logger.warning("could not rename %s: %s", path, error)
