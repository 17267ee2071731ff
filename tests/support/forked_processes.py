"""Processes of a test begin as forks of a server that has imported the package, instead of importing it each by itself.

What is checked stays: they are processes of their own that meet as a run's do. The command line starts its processes
as it does for everybody in the tests that start the command line itself as a process.
"""

from __future__ import annotations

import importlib
import multiprocessing
from typing import Any

import torch.multiprocessing

PRELOADED = ["dusa_ignite.runs.adapt", "sklearn.datasets"]


def fork_instead_of_spawning() -> None:
    """From now on, for what this process starts through ``torch.multiprocessing``."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    module = importlib.import_module("torch.multiprocessing.spawn")
    start = module.start_processes

    def fork(*args: Any, start_method: str = "spawn", **options: Any) -> Any:
        return start(*args, **options, start_method="forkserver" if start_method == "spawn" else start_method)

    module.start_processes = torch.multiprocessing.start_processes = fork  # type: ignore[attr-defined]
