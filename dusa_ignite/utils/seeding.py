"""Random generators keyed by what they are for.

Noise, time and candidate draws belong to a sample, not to a process: their generator is keyed by (seed, task, index), a
task's order by (seed, task). Results therefore depend neither on the number of processes, nor on the micro-batch size,
nor on where a run was interrupted. Draws are made on the CPU, so they are the same on every device.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive_seed(*key: int | str) -> int:
    """A 63-bit seed from any sequence of numbers and names; equal keys give equal seeds on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*key: int | str) -> np.random.Generator:
    """A NumPy generator keyed by ``key``."""
    return np.random.default_rng(derive_seed(*key))


def sample_generators(seed: int, task: str, indices: torch.Tensor) -> list[torch.Generator]:
    """One CPU generator per image of a batch.

    Args:
        seed: the run's seed.
        task: the task's name.
        indices: (B,) positions in the task's data set.
    """
    return [torch.Generator().manual_seed(derive_seed(seed, task, int(index))) for index in indices]
