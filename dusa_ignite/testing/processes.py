"""A function in several processes of one group, as those of a run are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch


def in_processes(function: Callable[[], Any], folder: Path, *, count: int = 2) -> list[Any]:
    """What the function returned in each of them, in order of rank.

    Args:
        function: importable; returns what ``torch.load(weights_only=True)`` can read.
        folder: an empty one, for what they return.
        count: of processes, with a thread each. One that waits in vain for the others fails after a minute.
    """
    spawn: dict[str, Any] = {"nproc_per_node": count, "init_method": f"file://{folder / 'meeting'}"}
    with idist.Parallel(backend="gloo", timeout=timedelta(seconds=60), **spawn) as parallel:
        parallel.run(_call, function, folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]


def _call(local_rank: int, function: Callable[[], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    torch.save(function(), folder / f"{idist.get_rank()}.pt")
