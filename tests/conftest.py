"""Shared by all tests: one thread so that sums keep their order and processes keep out of
each other's way."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import pytest
import torch
from support import cheap_runs
from support.forked_processes import fork_instead_of_spawning

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
fork_instead_of_spawning()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker begins with one when the others are through."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _cheap_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replaced in the tests of just that."""
    file = request.path.name
    if file not in ("test_memory.py", "test_segmentation_memory.py", "test_check.py"):
        cheap_runs.leave_out_passes(monkeypatch)
        cheap_runs.build_shapes_once(monkeypatch)
    if file not in ("test_digits.py", "test_corruptions.py"):
        cheap_runs.corrupt_digits_once(monkeypatch)
    if not file.startswith(("test_plots", "test_pictures", "test_tables", "test_own_")) and file != "test_adapt.py":
        cheap_runs.leave_out_rendering(monkeypatch)


@pytest.fixture(autouse=True)
def _untouched_logging() -> Iterator[None]:
    """A run sends the package's log elsewhere; the next test finds it as it was."""
    logger = logging.getLogger("dusa_ignite")
    yield
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _untouched_signals() -> Iterator[None]:
    """A run takes over the signals that stop it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
