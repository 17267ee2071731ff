"""How long things take, and how much memory: the bench's clock."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from dusa_ignite.distributed.collectives import global_max

PROC = Path("/proc/self")


@dataclass(frozen=True)
class Spread:
    """Seconds of repetitions.

    Attributes:
        times: each of them, in the order in which they were taken; at least one.
    """

    times: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of them took longer."""
        return median(self.times)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third; both the only number where there is one alone."""
        if len(self.times) == 1:
            return self.times[0], self.times[0]
        first, _, third = quantiles(self.times, n=4, method="inclusive")
        return first, third


def seconds(action: Callable[[], Any]) -> float:
    """How long an action takes, GPU work included; all processes take part, and the slowest counts."""
    _synchronize()
    begun = time.perf_counter()
    action()
    _synchronize()
    return global_max(time.perf_counter() - begun)


def repeated(
    action: Callable[[], Any],
    *,
    limit: float,
    least: int = 3,
    most: int | None = None,
    between: Callable[[], Any] = lambda: None,
) -> Spread:
    """Repeat an action until a time is over, equally often in all processes.

    Args:
        action: what is timed.
        limit: seconds that all of them took, after which no further repetition begins.
        least: so many are made in any case, >= 1.
        most: and no more than so many; ``None`` = no limit.
        between: called after each of them; its time is not among theirs.
    """
    times: list[float] = []
    while len(times) < least or (sum(times) < limit and len(times) != most):
        times.append(seconds(action))
        between()
    return Spread(tuple(times))


def forget_peaks() -> bool:
    """The peaks of memory begin anew, from what is held now; whether the system let them."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        (PROC / "clear_refs").write_text("5", encoding="utf-8")
    except OSError:  # not Linux, or a container that forbids it
        return False
    return True


def peak_memory() -> int | None:
    """The most bytes held since then, in the process that held most; ``None`` = nobody says.

    On the GPU where there is one, else by the process.
    """
    own = _own_peak_memory()
    return None if own is None else int(global_max(own))


def _own_peak_memory() -> int | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        lines = (PROC / "status").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    except (OSError, StopIteration, ValueError):
        return None


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
