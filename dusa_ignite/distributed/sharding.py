"""A transformer sharded over processes with FSDP2, and its state as one process would have it.

Gradients are added up over processes, not averaged, as everywhere in this package. States are gathered in full, in the
first process's host memory, so that a checkpoint made on N processes loads on M.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

GATHER = StateDictOptions(full_state_dict=True, cpu_offload=True)
SCATTER = StateDictOptions(full_state_dict=True)


def shard(transformer: nn.Module, *, world_size: int, device: torch.device) -> None:
    """Split a transformer's parameters over all processes, block by block; make its optimizer afterwards.

    Args:
        transformer: the same in every process, its layers in ``blocks``; changed in place.
        world_size: number of processes.
        device: of this process.
    """
    mesh = init_device_mesh(device.type, (world_size,))
    for block in transformer.get_submodule("blocks").children():
        fully_shard(block, mesh=mesh)
    fully_shard(transformer, mesh=mesh)
    register_fsdp_forward_method(transformer, "forward_embedded")
    for module in transformer.modules():
        if isinstance(module, FSDPModule):
            _add_up(module)


def _add_up(module: FSDPModule) -> None:
    """Sum gradients over processes; torch renamed the method that sets what they are divided by."""
    if hasattr(module, "set_gradient_divide_factor"):
        module.set_gradient_divide_factor(1.0)
    else:
        module.set_reduce_scatter_divide_factor(1.0)  # torch 2.6
    if hasattr(module, "set_force_sum_reduction_for_comms"):
        module.set_force_sum_reduction_for_comms(True)


class ShardedModel:
    """A sharded model's state in full; all processes must call its methods."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by name, on the CPU, in the first process; nothing in the others."""
        return get_model_state_dict(self.model, options=GATHER)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take this process's part of a full state."""
        set_model_state_dict(self.model, dict(state), options=SCATTER)  # it replaces the entries of what it is given


class ShardedOptimizer:
    """The state of an optimizer over sharded and other models; all processes must call its methods.

    Args:
        optimizer: over parameters of ``models``.
        models: by name.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, models: dict[str, nn.Module]) -> None:
        self.optimizer = optimizer
        self.models = nn.ModuleDict(models)

    def state_dict(self) -> dict[str, Any]:
        """The full state by parameter name, on the CPU, in the first process; empty before the first step."""
        if not self.optimizer.state:
            return {}  # asking for it would make one
        return get_optimizer_state_dict(self.models, self.optimizer, options=GATHER)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take this process's part of a full state."""
        if not state:
            self.optimizer.state.clear()
            return
        set_optimizer_state_dict(self.models, self.optimizer, optim_state_dict=state, options=SCATTER)
