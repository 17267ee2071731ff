"""How torch computes in a run: seeds, determinism, threads and dtypes."""

from __future__ import annotations

import os

import ignite.distributed as idist
import torch


def set_up_torch(*, seed: int, deterministic: bool, num_threads: int | None) -> None:
    """Seeds (they matter for ``random`` weights alone), determinism and threads; ``None`` = torch's choice."""
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if num_threads is not None:
        torch.set_num_threads(num_threads)


def model_dtype(precision: str) -> torch.dtype:
    """The dtype of parameters: half precisions are for autocast only."""
    return torch.float64 if precision == "float64" else torch.float32


def autocast_dtype(precision: str) -> torch.dtype | None:
    """The dtype the guide computes in, where it differs from its parameters'."""
    if precision == "auto":
        return torch.bfloat16 if idist.device().type == "cuda" and torch.cuda.is_bf16_supported() else None
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
