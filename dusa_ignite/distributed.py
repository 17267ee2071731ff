"""What several processes share: sums over the global batch, and the gradients of its loss.

Each process holds a share of every global batch and backpropagates its part of the *global* mean. Adding the gradients
up over the processes therefore gives the update that one process would have made with the whole batch, whatever the
shares' sizes; a process without an image takes part with zeros.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import ignite.distributed as idist
import torch
from torch import distributed as dist

BUCKET_BYTES = 64 * 2**20  # gradients travel in pieces of at least this size


def backend_from_environment() -> str | None:
    """The backend of a torchrun launch (``nccl`` with GPUs, ``gloo`` without); ``None`` for a single process."""
    if "LOCAL_RANK" not in os.environ:
        return None
    return "nccl" if torch.cuda.is_available() else "gloo"


def global_sum(value: float) -> float:
    """The sum of a number over all processes."""
    if idist.get_world_size() == 1:
        return value
    return global_sums(torch.tensor([value], dtype=torch.float64, device=idist.device()))[0]


def global_sums(values: torch.Tensor) -> list[float]:
    """The sums of a vector's (N,) elements over all processes."""
    values = values.to(torch.float64, copy=True)
    if idist.get_world_size() > 1:
        dist.all_reduce(values)
    return values.tolist()


def all_reduce_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Add up the gradients of all processes, in place; one that is missing in some of them counts as zero there.

    One that is missing everywhere stays missing: the optimizer must not touch a parameter that has no part in the loss.
    """
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
