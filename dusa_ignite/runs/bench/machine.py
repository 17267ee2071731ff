"""What the machine can do at most: matrix products in every precision, and copying."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch

from dusa_ignite.runs.bench.timing import repeated

SIDES = {"tiny": (256, 256), "small": (1024, 8192), "full": (1024, 8192)}  # of the matrices: on CPUs, on GPUs
COPIED = {"tiny": (2**22, 2**22), "small": (2**28, 2**30), "full": (2**28, 2**30)}  # bytes


@dataclass(frozen=True)
class Ceilings:
    """The machine's ceilings.

    Attributes:
        products: operations per second of a square matrix product, by precision: ``float32``, ``bfloat16``, ...;
            ``tf32`` is float32 on GPUs with 10 bits of mantissa.
        copy: bytes per second that are read and written while a tensor is copied within the device's memory.
    """

    products: dict[str, float]
    copy: float


def measure_ceilings(device: torch.device, *, size: str, further: str | None = None) -> Ceilings:
    """Measure them; a second or two each.

    Args:
        device: of the models.
        size: ``tiny``, ``small`` or ``full``: how large the matrices are.
        further: a precision that is asked for besides the usual ones, such as ``float64``.
    """
    on_gpu = device.type == "cuda"
    names = ["float32", "tf32", "bfloat16", "float16"] if on_gpu else ["float32", "bfloat16"]
    if further and further not in names:
        names.append(further)
    side, copied = SIDES[size][on_gpu], COPIED[size][on_gpu]
    products = {name: _product(name, side, device) for name in names}
    source = torch.ones(copied // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    copy = 2 * copied / repeated(lambda: target.copy_(source), limit=1, least=3, most=20).median
    return Ceilings(products, copy)


class CeilingNow:
    """The matrix product's operations per second while something else is measured: a machine is not always as fast.

    Args:
        precision: ``float32``, ``tf32``, ``bfloat16``, ...
        device: that multiplies.
        size: ``tiny``, ``small`` or ``full``: how large the matrices are.
    """

    def __init__(self, precision: str, device: torch.device, *, size: str) -> None:
        self.precision, self.device, self.size = precision, device, size
        self.rates: list[float] = []

    def measure(self) -> None:
        """Once more, with three products; call it between the measurements of the other thing."""
        self.rates.append(_product(self.precision, SIDES[self.size][self.device.type == "cuda"], self.device, limit=0))

    @property
    def median(self) -> float:
        """Of all that was measured."""
        return median(self.rates)


def _product(name: str, side: int, device: torch.device, *, limit: float = 1.0) -> float:
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    with _tf32(name == "tf32"):
        for _ in range(2):
            left @ right
        return 2 * side**3 / repeated(lambda: left @ right, limit=limit, least=3, most=20).median


@contextmanager
def _tf32(on: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if on else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
