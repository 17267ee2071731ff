"""How much memory a computation takes, found by making it with tensors that have shapes but no content (torch's meta
device): no memory, and next to no time, is taken for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

IN_HALF: tuple[Any, ...] = (  # what autocast computes in half precision
    F.linear,
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.bmm,
    torch.matmul,
    torch.Tensor.matmul,
    torch.Tensor.__matmul__,
)


class Usage(NamedTuple):
    """Bytes that a computation takes besides what was there before it.

    Attributes:
        graph: what is kept between its forward and its backward pass; without a graph, its result alone.
        peak: the most at any moment of both passes, the gradients that come to be included.
    """

    graph: int = 0
    peak: int = 0


def usage(
    compute: Callable[[], torch.Tensor],
    *,
    present: Iterable[torch.Tensor],
    graph: bool,
    half: torch.dtype | None = None,
    casts_kept: bool = False,
) -> Usage:
    """What a computation on the meta device would take.

    Args:
        compute: returns a tensor, whose gradient is then carried back.
        present: tensors that are there before and after it, such as parameters; their gradients are not.
        graph: whether there is a backward pass at all; not made where nothing in ``compute`` requires a gradient.
        half: the dtype of autocast, which the meta device itself does not know; ``None`` = none.
        casts_kept: whether a weight that was cast to it stays so until the end, as in autocast's cache.
    """
    live = LiveMemory(present)
    with torch.set_grad_enabled(graph), live, AsOnDevice(half, casts={} if casts_kept else None):
        result = compute()
        kept = live.now
        if result.requires_grad:
            result.backward(torch.empty_like(result))
    return Usage(kept, live.peak)


class LiveMemory(TorchDispatchMode):
    """Within this context all storages that come and go are counted: ``now`` and ``peak``, in bytes.

    Args:
        present: tensors that do not count.
    """

    def __init__(self, present: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.present = [tensor.untyped_storage() for tensor in present]
        self.known = {storage._cdata for storage in self.present}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call, and count the storages that are new."""
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self.known:
            return
        size = storage.nbytes()
        self.known.add(storage._cdata)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, storage._cdata, size).atexit = False

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


class AsOnDevice(TorchFunctionMode):
    """Within this context the meta device computes as CPUs and GPUs do: with fused attention, and with autocast.

    Args:
        half: the dtype of autocast for layers, convolutions and products; ``None`` = none.
        casts: weights that were cast, by the ids of the weights; filled here. ``None`` = they are cast every time.
    """

    active: ClassVar[list[AsOnDevice]] = []

    def __init__(self, half: torch.dtype | None = None, *, casts: dict[int, torch.Tensor] | None = None) -> None:
        super().__init__()
        self.half = half
        self.casts = casts

    def __enter__(self) -> AsOnDevice:
        AsOnDevice.active.append(self)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        AsOnDevice.active.pop()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call it, or what stands for it."""
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention and len(args) >= 3:
            return _FusedAttention.apply(*(self._cast(tensor) for tensor in args[:3]))
        if function in IN_HALF:
            args = tuple(self._cast(value) for value in args)
        return function(*args, **kwargs)

    def _cast(self, value: Any) -> Any:
        if self.half is None or not isinstance(value, torch.Tensor) or value.dtype is not torch.float32:
            return value
        is_weight = value.is_leaf and value.requires_grad and torch.is_grad_enabled()  # those that autocast caches
        if self.casts is None or not is_weight:
            return value.to(self.half)
        if id(value) not in self.casts:
            self.casts[id(value)] = value.to(self.half)
        return self.casts[id(value)]


def recomputed() -> tuple[AbstractContextManager, AbstractContextManager]:
    """Contexts of a pass and of the same pass made again on the way back, where torch has left all modes."""
    if not AsOnDevice.active:
        return nullcontext(), nullcontext()
    outer = AsOnDevice.active[-1]
    return nullcontext(), AsOnDevice(outer.half, casts=outer.casts)


class _FusedAttention(torch.autograd.Function):
    """Keeps what fused attention does: no matrix of all pairs of tokens."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        *batch, heads, tokens, _ = (1, *query.shape) if query.dim() == 3 else query.shape
        result = query.new_empty(*batch, tokens, heads, value.shape[-1]).transpose(-3, -2)  # as the kernels lay it out
        result = result.view(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, result, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
