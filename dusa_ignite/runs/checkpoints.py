"""Checkpoint files: written whole or not at all, checked before they are read."""

from __future__ import annotations

import errno
import logging
import os
import re
import zipfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.handlers.checkpoint import BaseSaveHandler

from dusa_ignite.utils.durable import sync_folder
from dusa_ignite.errors import CheckpointError

logger = logging.getLogger(__name__)

NAME = re.compile(r"checkpoint_(\d+)\.pt")


class AtomicSaver(BaseSaveHandler):
    """Ignite save handler: a new file replaces nothing until it is complete on disk; then older ones go.

    A file that cannot be written (full disk, lost permission) is warned of, the previous one stays, the run goes on.

    Args:
        folder: of the checkpoints; made if missing.
        keep: how many to keep, >= 1.
        background: write in a thread, from a copy in host memory: the caller waits for the copy only, and for the write
            before, if that is not done yet. Within a ``with`` block the last write is waited for at its end.

    Example:
        >>> with AtomicSaver(folder, keep=1, background=True) as saver:
        ...     saver({"classifier": classifier.state_dict()}, "checkpoint_1.pt")
    """

    def __init__(self, folder: Path, *, keep: int, background: bool = False) -> None:
        self.folder = folder
        self.keep = keep
        self.writer = ThreadPoolExecutor(max_workers=1) if background else None
        self._pending: Future[None] | None = None

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        """Write the checkpoint under ``filename``, in the first process."""
        if idist.get_rank() > 0:
            return
        if self.writer is None:
            self._write(checkpoint, filename)
            return
        self.wait()
        self._pending = self.writer.submit(self._write, _copied(checkpoint), filename)

    def wait(self) -> None:
        """Return once everything is on disk."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def newest(self) -> str | None:
        """The name of the newest checkpoint that is complete on disk; what is being written is waited for."""
        self.wait()
        return next((path.name for path in saved(self.folder)), None)

    def __enter__(self) -> AtomicSaver:
        return self

    def __exit__(self, *exception: object) -> None:
        self.wait()

    def _write(self, checkpoint: Mapping, filename: str) -> None:
        part = self.folder / f"{filename}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for stale in self.folder.glob("*.part"):  # of a process that was killed while writing
                _remove(stale)
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / filename)
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
        except (OSError, RuntimeError) as error:
            logger.warning("checkpoint not written, the run goes on: %s: %s", self.folder / filename, _reason(error))
            _remove(part)
            return
        for old in saved(self.folder)[self.keep :]:
            _remove(old)

    def remove(self, filename: str) -> None:
        """Nothing: older files are removed only once a newer one is complete."""


def saved(folder: Path) -> list[Path]:
    """The complete checkpoints in a folder, the newest first."""
    found = [(int(match[1]), path) for path in folder.glob("*") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


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
        return path, content
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
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({_reason(error)}); every process needs to see it") from error


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
        reason = _reason(error)
        if "DefaultCPUAllocator" in reason:
            raise MemoryError(f"{path}: {reason}") from error
        raise DamagedError(f"{path}: damaged ({reason})") from error


def _reason(error: BaseException) -> str:
    """What went wrong, in a line; torch's writer hides the system's own words (disk full) behind its RuntimeError."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _set_aside(path: Path) -> None:
    try:
        path.rename(path.with_name(path.name + ".damaged"))
    except OSError as error:
        logger.warning("could not rename %s: %s", path, error)


def _copied(thing: Any) -> Any:
    """A nested state whose tensors are the caller's own no more, in host memory."""
    if isinstance(thing, torch.Tensor):
        return thing.detach().to("cpu", copy=True)
    if isinstance(thing, Mapping):
        return {key: _copied(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return type(thing)(_copied(value) for value in thing)
    return thing


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("could not remove %s: %s", path, error)
