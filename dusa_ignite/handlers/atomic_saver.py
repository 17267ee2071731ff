"""Checkpoint files: written whole or not at all."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.handlers.checkpoint import BaseSaveHandler

from dusa_ignite.utils.durable import sync_folder
from dusa_ignite.utils.format import FORMAT_VERSION

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
                torch.save({"format_version": FORMAT_VERSION, **checkpoint}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / filename)
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
        except (OSError, RuntimeError) as error:
            logger.warning("checkpoint not written, the run goes on: %s: %s", self.folder / filename, reason_of(error))
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


def _copied(thing: Any) -> Any:
    """A nested state whose tensors are the caller's own no more, in host memory."""
    if isinstance(thing, torch.Tensor):
        return thing.detach().to("cpu", copy=True)
    if isinstance(thing, Mapping):
        return {key: _copied(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return type(thing)(_copied(value) for value in thing)
    return thing


def reason_of(error: BaseException) -> str:
    """What went wrong, in a line; torch's writer hides the system's own words (disk full) behind its RuntimeError."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("could not remove %s: %s", path, error)
