"""Activation checkpointing: of a transformer's block only the input is kept, and the rest is computed once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dusa_ignite.errors import ConfigError
from dusa_ignite.models.live_memory import recomputed


def checkpoint_blocks(transformer: nn.Module) -> None:
    """From now on passes with a graph keep the input of each block alone; the backward pass runs the blocks again.

    The gradients are the same (Chen et al. 2016, arXiv 1604.06174), the forward pass is made twice.

    Args:
        transformer: with a list of modules ``blocks``; parameters keep their names.

    Raises:
        ConfigError: it has none.
    """
    blocks = getattr(transformer, "blocks", None)
    if not isinstance(blocks, nn.ModuleList):
        raise ConfigError(
            f"transformer.activation_checkpointing: blocks needs a transformer with a ModuleList called blocks; "
            f"{type(transformer).__name__} has none; set transformer.activation_checkpointing=none"
        )
    for block in blocks:
        block.forward = _Checkpointed(block)


def checkpointed(forward: Callable[..., Any], *inputs: Any) -> Any:
    """``forward(*inputs)``, of which the graph keeps the inputs alone. Nothing may be drawn in it: no dropout."""
    measured: dict[str, Any] = {"context_fn": recomputed} if inputs[0].is_meta else {}
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False, **measured)


class _Checkpointed:
    """Stands for a block's ``forward``."""

    def __init__(self, block: nn.Module) -> None:
        self.forward = type(block).forward.__get__(block)

    def __call__(self, *inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*inputs)
        return checkpointed(self.forward, *inputs)
