"""What only the first process does, and all processes learn of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import ignite.distributed as idist
from torch import distributed as dist

from dusa_ignite.errors import StoppedEarly, UserError

T = TypeVar("T")


def on_rank_zero(function: Callable[[], T]) -> T:
    """What the first process's call returns or raises, in all processes; the others do not call it."""
    if idist.get_world_size() == 1:
        return function()
    outcome: list[Any] = [None, None]
    mine: BaseException | None = None
    if idist.get_rank() == 0:
        try:
            outcome[0] = function()
        except BaseException as error:  # whatever it is, the others must not wait for it
            mine = error
            known = isinstance(error, UserError | StoppedEarly)
            outcome[1] = error if known else RuntimeError(f"the first process failed: {error!r}")
    dist.broadcast_object_list(outcome, src=0, device=idist.device())
    if outcome[1] is not None:
        raise mine or outcome[1]
    return outcome[0]
