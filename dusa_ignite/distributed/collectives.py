"""What several processes share: sums over the global batch, and the gradients of its loss.

Each process holds a share of every global batch and backpropagates its part of the *global* mean. Adding the gradients
up over the processes therefore gives the update that one process would have made with the whole batch, whatever the
shares' sizes; a process without an image takes part with zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from torch import distributed as dist
from torch.distributed.tensor import DTensor

BUCKET_BYTES = 64 * 2**20  # gradients travel in pieces of at least this size


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


def all_reduce_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Add up the gradients of all processes, in place; one that is missing in some of them counts as zero there.

    Those of sharded parameters have been added up in the backward pass, by :mod:`dusa_ignite.distributed.sharding`.

    One that is missing everywhere stays missing: the optimizer must not touch a parameter that has no part in the loss.
    """
    parameters = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    if idist.get_world_size() == 1 or not parameters:
        return
    found = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=parameters[0].device)
    for parameter, somewhere in zip(parameters, global_sums(found), strict=True):
        if parameter.grad is None and somewhere:
            parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, total in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
            gradient.copy_(total.view_as(gradient))


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


def _buckets(gradients: Sequence[torch.Tensor]) -> Iterable[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    for gradient in gradients:
        if bucket and bucket[0].dtype != gradient.dtype:
            yield bucket
            bucket = []
        bucket.append(gradient)
        if sum(g.numel() * g.element_size() for g in bucket) >= BUCKET_BYTES:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
