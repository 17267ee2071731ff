"""What a checkpoint costs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from dusa_ignite.config import Config
from dusa_ignite.handlers import AtomicSaver
from dusa_ignite.runs.bench.models import Built
from dusa_ignite.runs.bench.timing import seconds


def checkpoint_rows(config: Config, built: Built, folder: Path) -> list[list[str]]:
    """The cost of a full checkpoint, and for how long the next update waits for it.

    Args:
        config: says whether it is also written in the background.
        built: whose states are saved.
        folder: in which a temporary folder is made for it.
    """
    things = {
        "classifier": built.classifier,
        "transformer": built.guide and built.guide.transformer,
        "optimizer": built.optimizer,
    }
    content: dict[str, Any] = {name: thing.state_dict() for name, thing in things.items() if thing is not None}
    with tempfile.TemporaryDirectory(dir=folder) as scratch, AtomicSaver(Path(scratch), keep=1) as saver:
        written = seconds(lambda: saver(content, "checkpoint_1.pt"))
        size = (Path(scratch) / "checkpoint_1.pt").stat().st_size
    rows = [["checkpoint", f"{size / 2**30:.2f} GiB"], ["update waits: written and synced", f"{written:.1f} s"]]
    if config.checkpoint.background is not False:
        with (
            tempfile.TemporaryDirectory(dir=folder) as scratch,
            AtomicSaver(Path(scratch), keep=1, background=True) as saver,
        ):
            copied = seconds(lambda: saver(content, "checkpoint_1.pt"))
            rest = seconds(saver.wait)
        rows.append(
            ["update waits: copied, in the background", f"{copied:.1f} s (on disk after {copied + rest:.1f} s)"]
        )
    return rows
