"""The gradients of an update, added up over the processes, in buckets that travel while the backward pass goes on.

Each process backpropagates its part of the *global* mean, so the sums are the gradients that one process would have had
with the whole batch, whatever the shares' sizes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ignite.distributed as idist
import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from dusa_ignite.distributed.collectives import global_sums

BUCKET_BYTES = 64 * 2**20  # gradients travel in pieces of at least this size


def all_reduce_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Add up the gradients of all processes, with nothing else to do meanwhile; see :class:`GradientSums`."""
    GradientSums(parameters).finish()


class GradientSums:
    """The sums of one update's gradients over all processes, in the place of the gradients.

    A bucket begins to travel as soon as it and all before it are complete. Which parameters a bucket holds, and the
    order of the buckets, follow from the parameters alone. So all processes begin the same sums in the same order,
    whatever they have computed; one without an image begins all of them in :meth:`finish`.

    A gradient that is missing in some processes counts as zero there. One that is missing everywhere stays missing: the
    optimizer must not touch a parameter that has no part in the loss. Those of sharded parameters have been added up in
    the backward pass, by :mod:`dusa_ignite.distributed.sharding`. One process sums nothing.

    Args:
        parameters: in the order in which the forward pass uses them, as far as there is one: the backward pass
            completes them from the last to the first.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        several = idist.get_world_size() > 1
        own = [p for p in reversed(parameters) if not isinstance(p, DTensor)] if several else []
        self.incomplete = set(own)
        self.waiting = deque(_buckets(own))
        self.travelling: deque[tuple[list[nn.Parameter], torch.Tensor, Any]] = deque()
        self.found: list[bool] = []  # of each parameter on its way: whether this process has a gradient

    @contextmanager
    def last_pass(self, model: nn.Module) -> Iterator[None]:
        """Around the backward pass that completes a model's gradients; no other collective may take place within it."""
        hooks = [
            parameter.register_post_accumulate_grad_hook(lambda complete: self._complete([complete]))
            for parameter in (model.parameters() if self.waiting else ())
            if parameter in self.incomplete
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        if self.waiting:
            self._complete(model.parameters())  # those that this pass did not reach, too

    def finish(self) -> None:
        """Begin the sums that are left, wait for all, and put them in the gradients' place.

        Raises:
            RuntimeError: a gradient has arrived after its sum had begun.
        """
        self._complete(list(self.incomplete))
        if not self.travelling:
            return
        device = self.travelling[0][1].device
        somewhere = iter(global_sums(torch.tensor(self.found, dtype=torch.float64, device=device)))
        while self.travelling:
            bucket, flat, work = self.travelling.popleft()  # each is freed before the next one is copied
            work.wait()
            for parameter, total in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                if parameter.grad is not None:
                    raise RuntimeError("a gradient has arrived after its sum had begun")
                if next(somewhere):
                    parameter.grad = torch.empty_like(parameter).copy_(total.view_as(parameter))

    def _complete(self, parameters: Iterable[nn.Parameter]) -> None:
        self.incomplete.difference_update(parameters)
        while self.waiting and self.incomplete.isdisjoint(self.waiting[0]):
            self._begin(self.waiting.popleft())

    def _begin(self, bucket: list[nn.Parameter]) -> None:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        self.found += [p.grad is not None for p in bucket]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        for parameter in bucket:
            parameter.grad = None  # its numbers are in the bucket: a second copy of all would take the memory of both
        self.travelling.append((bucket, flat, dist.all_reduce(flat, async_op=True)))


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and bucket[0].dtype != parameter.dtype:
            yield bucket
            bucket = []
        bucket.append(parameter)
        if sum(p.numel() * p.element_size() for p in bucket) >= BUCKET_BYTES:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
