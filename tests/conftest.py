"""Shared by all tests: the golden vectors, and one thread so that sums keep their order and processes keep out of
each other's way."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start

GOLDEN = Path(__file__).parent / "golden"


def load_golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A golden file's tensors and its metadata."""
    with safe_open(GOLDEN / f"{name}.safetensors", framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def split_golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, int]]:
    """A tiny transformer's weights, its inputs and outputs, and its sizes as arguments of load_transformer."""
    tensors, meta = load_golden(name)
    weights = {key.removeprefix("weights."): value for key, value in tensors.items() if key.startswith("weights.")}
    others = {key: value for key, value in tensors.items() if not key.startswith("weights.")}
    names = ("in_channels", "patch_size", "hidden_size", "depth", "num_heads", "num_classes")
    return weights, others, {"latent_size": int(meta["input_size"]), **{key: int(meta[key]) for key in names}}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


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
