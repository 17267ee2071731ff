"""Files that grow with a run, and shrink to where it goes on from."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from dusa_ignite.errors import CheckpointError
from dusa_ignite.utils.durable import sync_folder

logger = logging.getLogger(__name__)


class AppendedFile:
    """A text file that only ever grows; its state is its length, and restoring cuts off what came later.

    What cannot be written (full disk) is kept in memory, and in the state, and tried again with the next text.

    Args:
        path: the file, empty or missing at the start of a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unwritten = b""
        self._failed = False

    def append(self, text: str) -> None:
        """Add text at the end, if this is the first process."""
        if idist.get_rank() > 0:
            return
        self._unwritten += text.encode()
        try:
            self.flush()
        except OSError as error:
            self._warn(error)

    def flush(self) -> None:
        """Write what could not be written so far.

        Raises:
            OSError: nor can it now.
        """
        if not self._unwritten:
            return
        with self.path.open("ab", buffering=0) as file:  # without a buffer, it is known what has been written
            while self._unwritten:
                self._unwritten = self._unwritten[file.write(self._unwritten) :]
        self._failed = False

    def state_dict(self) -> dict[str, Any]:
        """The length in bytes, and what belongs behind it; the first process has that length synced to disk."""
        if idist.get_rank() == 0:
            self.append("")
            self._sync()
        return {"bytes": self._length(), "unwritten": self._unwritten.decode(errors="surrogateescape")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut off what was written after the state was taken.

        Raises:
            CheckpointError: the file is shorter than it was.
        """
        if idist.get_rank() > 0:
            return
        if self._length() < state["bytes"]:
            raise CheckpointError(f"{self.path}: has lost lines since the checkpoint; start again with --overwrite")
        with self.path.open("ab") as file:
            os.ftruncate(file.fileno(), state["bytes"])
        self._unwritten = state.get("unwritten", "").encode(errors="surrogateescape")

    def _length(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _sync(self) -> None:
        """A checkpoint is on disk; after a crash of the machine, so must be the lines that it counts on."""
        if not self.path.exists():
            return
        try:
            with self.path.open("ab") as file:
                os.fsync(file.fileno())
            sync_folder(self.path.parent)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._failed:
            logger.warning("%s: not written for now, the run goes on: %s", self.path, error.strerror)
        self._failed = True
