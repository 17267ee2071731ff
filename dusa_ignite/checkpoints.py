"""Checkpoint files: written whole or not at all, checked before they are read."""

from __future__ import annotations

import logging
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.handlers.checkpoint import BaseSaveHandler

from dusa_ignite.errors import CheckpointError

logger = logging.getLogger(__name__)

NAME = re.compile(r"checkpoint_(\d+)\.pt")


class AtomicSaver(BaseSaveHandler):
    """Ignite save handler: a new file replaces nothing until it is complete on disk; then older ones go.

    A file that cannot be written (full disk, lost permission) is warned of, the previous one stays, the run goes on.

    Args:
        folder: of the checkpoints; made if missing.
        keep: how many to keep, >= 1.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        """Write the checkpoint under ``filename``, in the first process."""
        if idist.get_rank() > 0:
            return
        part = self.folder / f"{filename}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / filename)
            _sync_folder(self.folder)
        except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
            logger.warning("checkpoint not written, the run goes on: %s: %s", self.folder / filename, error)
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
    """The newest undamaged checkpoint, on the CPU; ``None`` if there is none at all.

    Raises:
        CheckpointError: there are some, but every one is damaged.
    """
    damaged = []
    for path in saved(folder):
        try:
            return _load(path)
        except CheckpointError as error:
            logger.warning("%s; trying the one before", error)
            damaged.append(path.name)
    if damaged:
        raise CheckpointError(
            f"{folder}: every checkpoint is damaged ({', '.join(damaged)}); start again with --overwrite"
        )
    return None


def _load(path: Path) -> dict[str, Any]:
    """Check every byte against the file's checksums, then load tensors and plain values only."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise CheckpointError(f"{path}: damaged at {broken}")
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile, pickle and torch raise many kinds for damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: damaged ({reason})") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("could not remove %s: %s", path, error)
