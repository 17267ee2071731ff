"""Files that grow with a run, and shrink to where it goes on from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from dusa_ignite.errors import CheckpointError


class AppendedFile:
    """A text file that only ever grows; its state is its length, and restoring cuts off what came later.

    Args:
        path: the file, empty or missing at the start of a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, text: str) -> None:
        """Add text at the end, if this is the first process."""
        if idist.get_rank() > 0:
            return
        with self.path.open("a", newline="") as file:
            file.write(text)

    def state_dict(self) -> dict[str, Any]:
        """The length in bytes."""
        return {"bytes": self.path.stat().st_size if self.path.exists() else 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut off what was written after the state was taken.

        Raises:
            CheckpointError: the file is shorter than it was.
        """
        if idist.get_rank() > 0:
            return
        if self.state_dict()["bytes"] < state["bytes"]:
            raise CheckpointError(f"{self.path}: has lost lines since the checkpoint; start again with --overwrite")
        with self.path.open("ab") as file:
            os.ftruncate(file.fileno(), state["bytes"])
