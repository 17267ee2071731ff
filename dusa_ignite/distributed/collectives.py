"""What several processes share: sums over the global batch, of which each holds a share, and the batch itself."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import distributed as dist
from torch.distributed.tensor import DTensor


def global_sum(value: float) -> float:
    """The sum of a number over all processes."""
    if idist.get_world_size() == 1:
        return value
    return global_sums(torch.tensor([value], dtype=torch.float64, device=idist.device()))[0]


def global_max(value: float) -> float:
    """The largest of a number over all processes."""
    if idist.get_world_size() == 1:
        return value
    tensor = torch.tensor([value], dtype=torch.float64, device=idist.device())
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor.item()


def all_sum(values: torch.Tensor) -> torch.Tensor:
    """A tensor's sum over all processes, element by element, in float64 and on its device."""
    values = values.to(torch.float64, copy=True)
    if idist.get_world_size() > 1:
        dist.all_reduce(values)
    return values


def global_sums(values: torch.Tensor) -> list[float]:
    """The sums of a vector's (N,) elements over all processes."""
    return all_sum(values).tolist()


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a sharded tensor; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gather_batch(values: torch.Tensor) -> torch.Tensor:
    """What all processes have of a global batch: their shares (B_i, ...), of one dtype, in the order of the processes.

    That is the global batch's own order. Shares may differ in size and be empty, but not in their other dimensions; all
    processes must take part. The result carries no gradient.
    """
    return torch.cat(_gather_shares(values.detach()))


def gather_items(own: list[Any]) -> list[Any]:
    """All processes' items, which may be of any kind, in the order of the global batch; all processes must call it."""
    if idist.get_world_size() == 1:
        return own
    shares: list[Any] = [None] * idist.get_world_size()
    dist.all_gather_object(shares, own)
    return [item for share in shares for item in share]


def position_in_batch(count: int) -> slice:
    """Where this process's share, of ``count`` images, lies in the global batch; all processes must take part."""
    counts = [len(share) for share in _gather_shares(torch.empty(count, 0, device=idist.device()))]
    start = sum(counts[: idist.get_rank()])
    return slice(start, start + count)


def _gather_shares(values: torch.Tensor) -> list[torch.Tensor]:
    world_size = idist.get_world_size()
    if world_size == 1:
        return [values]
    count = torch.tensor([len(values)], device=values.device)
    counts = [torch.empty_like(count) for _ in range(world_size)]
    dist.all_gather(counts, count)
    longest = max(int(number) for number in counts)
    padded = values.new_zeros(longest, *values.shape[1:])
    padded[: len(values)] = values
    shares = [torch.empty_like(padded) for _ in range(world_size)]
    dist.all_gather(shares, padded)
    return [share[: int(number)] for share, number in zip(shares, counts, strict=True)]
