"""Comparing nested states and outputs leaf by leaf, bit for bit or within a tolerance."""

from __future__ import annotations

import io
from typing import Any

import torch


def expect(holds: bool, why: str) -> None:
    """Raises an ``AssertionError`` that says why, also under ``python -O``."""
    if not holds:
        raise AssertionError(why)


def flat(state: Any, prefix: str = "") -> dict[str, Any]:
    """A nested state's leaves by their path."""
    if not isinstance(state, dict | list | tuple):
        return {prefix: state}
    items = state.items() if isinstance(state, dict) else enumerate(state)
    return {path: leaf for key, value in items for path, leaf in flat(value, f"{prefix}/{key}").items()}


def identical(a: Any, b: Any) -> bool:
    """Bit for bit, NaN equal to NaN."""
    if isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(nan=-77.0), b.nan_to_num(nan=-77.0))
    return a == b or (a != a and b != b)


def assert_identical(ours: Any, expected: Any) -> None:
    """Two nested states agree leaf by leaf, see :func:`identical`."""
    a, b = _leaves(ours, expected)
    differing = [path for path in b if not identical(a[path], b[path])]
    expect(not differing, f"not bit for bit equal: {_first(differing)}")


def assert_close(ours: Any, expected: Any, tolerance: float = 1e-10) -> None:
    """Two nested states or outputs agree leaf by leaf.

    Args:
        ours, expected: the same dicts, lists and tuples.
        tolerance: largest difference of two numbers, >= 0; everything else must be equal.
    """
    a, b = _leaves(ours, expected)
    differing = [path for path in b if not _close(a[path], b[path], tolerance)]
    expect(not differing, f"not equal to {tolerance:g}: {_first(differing)}")


def through_a_file(state: Any) -> Any:
    """Saved, and loaded as a checkpoint is: tensors and plain Python values only."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def _close(a: Any, b: Any, tolerance: float) -> bool:
    if not isinstance(b, torch.Tensor | float | int):
        return a == b
    a, b = (torch.as_tensor(leaf, dtype=torch.float64) for leaf in (a, b))
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True)


def _leaves(ours: Any, expected: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    a, b = flat(ours), flat(expected)
    expect(a.keys() == b.keys(), f"only on one side: {_first(sorted(a.keys() ^ b.keys()))}")
    return a, b


def _first(paths: list[str]) -> str:
    return ", ".join(path or "the value" for path in paths[:3]) + (f" and {len(paths) - 3} more" * (len(paths) > 3))
