"""What several processes add to an update: the sums of their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.methods import Method
from dusa_ignite.runs.bench.row import Row
from dusa_ignite.runs.bench.timing import repeated
from dusa_ignite.runs.bench.variants import SHIPPED


def measure_sums(method: Method, *, limit: float) -> float:
    """Seconds that the sums of all gradients take when nothing else goes on; no gradient is left over.

    Args:
        method: whose parameters learn.
        limit: seconds, after which no further repetition begins.
    """
    for parameter in method.parameters:
        parameter.grad = torch.zeros_like(parameter)
    taken = repeated(lambda: all_reduce_gradients(method.parameters), limit=limit).median
    for parameter in method.parameters:
        parameter.grad = None
    return taken


def told(processes: int, sums: float | None, rows: Sequence[Row]) -> str:
    """What the heading says of several processes; nothing of a single one.

    Args:
        processes: how many.
        sums: seconds of the gradients' sums, alone.
        rows: among them that of ``shipped``, whose update these are a part of.
    """
    if processes == 1:
        return ""
    if sums is None:
        return f", {processes} processes"
    update = next((row.seconds[0] for row in rows if row.name == SHIPPED and row.seconds), None)
    share = "" if update is None else f", {sums / update:.1%} of {SHIPPED}'s update"
    return f", {processes} processes (the sums of their gradients, alone: {1e3 * sums:.1f} ms{share})"
