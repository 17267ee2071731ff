"""How torch computes in a run: seeds, determinism, threads, and how float32 is multiplied."""

from __future__ import annotations

import os

import torch


def set_up_torch(*, seed: int, deterministic: bool, num_threads: int | None, tf32: bool = False) -> None:
    """Seeds (they matter for ``random`` weights alone), determinism, threads, and how float32 is multiplied.

    Args:
        seed: of torch's global generator.
        deterministic: torch's deterministic algorithms.
        num_threads: of the CPU; ``None`` = torch's choice.
        tf32: GPUs multiply float32 matrices with 10 bits of mantissa (TF32). For convolutions torch does so anyway;
            ``False`` leaves that as it is.
    """
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    # Determinism fills new memory with NaN, which finds what reads it before it is written; that takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    if tf32:
        torch.backends.cudnn.allow_tf32 = True
    if num_threads is not None:
        torch.set_num_threads(num_threads)
