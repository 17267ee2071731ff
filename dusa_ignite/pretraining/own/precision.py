"""The types that a training computes in."""

from __future__ import annotations

import ignite.distributed as idist
import torch


def model_dtype(precision: str) -> torch.dtype:
    """Of parameters, their gradients and losses: half precision is for autocast only."""
    return torch.float64 if precision == "float64" else torch.float32


def autocast_dtype(precision: str) -> torch.dtype | None:
    """What the model computes in where it differs from its parameters."""
    if precision == "auto":
        in_hardware = idist.device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if in_hardware else None
    return torch.bfloat16 if precision == "bfloat16" else None
