"""The dtypes that models compute in, by the names that configs have for them."""

from __future__ import annotations

import ignite.distributed as idist
import torch


def model_dtype(precision: str) -> torch.dtype:
    """Of parameters, their gradients and losses: half precisions are for autocast only."""
    return torch.float64 if precision == "float64" else torch.float32


def half_precision(precision: str) -> torch.dtype | None:
    """The dtype of autocast by its name; ``None`` where the name is that of a whole precision."""
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The dtype that the guide, or the model in training, computes in, where it differs from its parameters'."""
    if precision == "auto":
        in_hardware = idist.device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if in_hardware else None
    return half_precision(precision)
