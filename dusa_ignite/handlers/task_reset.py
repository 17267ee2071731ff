"""Back to the source state before every task."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine
from torch import nn
from torch.distributed.tensor import DTensor

from dusa_ignite.distributed.collectives import local
from dusa_ignite.engine import TaskEvents


class TaskReset:
    """Restores everything stateful to what it was when this handler was made, before each task.

    Restored are parameters, buffers, optimizer moments, the loss scale and whatever else is in the mapping; pending
    gradients are dropped. The snapshot lies in host memory, but for the moments of sharded parameters; it holds this
    process's part of what is sharded, and leaves out frozen parameters.

    Args:
        stateful: objects with ``state_dict`` and ``load_state_dict``, by name; what is loaded is on the CPU.

    Example:
        >>> TaskReset({"classifier": classifier, "optimizer": optimizer}).attach(engine)
    """

    def __init__(self, stateful: Mapping[str, Any]) -> None:
        self.stateful = stateful
        self.snapshot = {name: _snapshot(thing) for name, thing in stateful.items()}

    def attach(self, engine: Engine, event: Any = TaskEvents.TASK_STARTED) -> None:
        """Reset on every ``event``; ``Events.ITERATION_STARTED`` is before every update."""
        engine.add_event_handler(event, self.reset)

    def reset(self) -> None:
        """Restore the snapshot."""
        for name, thing in self.stateful.items():
            if isinstance(thing, nn.Module):
                _restore(thing, self.snapshot[name])
            else:
                thing.load_state_dict(copy.deepcopy(self.snapshot[name]))  # it may keep the very tensors it is given


@torch.no_grad()
def _restore(module: nn.Module, snapshot: dict[str, torch.Tensor]) -> None:
    state = module.state_dict()
    for name, value in snapshot.items():
        local(state[name]).copy_(value)
    module.zero_grad(set_to_none=True)


def _snapshot(thing: Any) -> Any:
    if not isinstance(thing, nn.Module):
        return _to_host(thing.state_dict())
    frozen = {name for name, parameter in thing.named_parameters() if not parameter.requires_grad}
    return {
        name: local(value.detach()).to("cpu", copy=True)
        for name, value in thing.state_dict().items()
        if name not in frozen
    }


def _to_host(state: Any) -> Any:
    """A copy of a nested state, its tensors in host memory; only those that are sharded stay where they are."""
    if isinstance(state, torch.Tensor) and not isinstance(state, DTensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: _to_host(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_to_host(value) for value in state)
    return copy.deepcopy(state)
