"""Whether tensors are weights: dense floats, finite, with values of their own."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.shown import shown

Weights = Mapping[str, torch.Tensor]


def check_values(weights: Weights, *, wanted: Weights | None = None, where: str) -> None:
    """Refuse what no model can compute with; the message names the first such weight.

    Args:
        weights: names to tensors.
        wanted: the model's own, of the same shapes; says where integers belong, and where infinities do (masks).
        where: for error messages.

    Raises:
        CheckpointError: a tensor is sparse, nested, quantised, on the meta device, complex, integer where the model has
            floats, or holds NaN or infinite values.
    """
    for name, value in weights.items():
        own = wanted.get(name) if wanted is not None else None
        if problem := _kind(name, value, own) or _not_finite(value, own):
            raise CheckpointError(f"{where}: {shown(name)} {problem}")


def converted(weights: Weights, wanted: Weights | None = None) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Floats as the model has them, float32 where it does not say; and the types they had, if others."""
    result, types = {}, []
    for name, value in weights.items():
        value = value.detach()
        own = wanted.get(name) if wanted is not None else None
        target = own.dtype if own is not None else torch.float32 if value.is_floating_point() else value.dtype
        if value.dtype != target and value.is_floating_point():
            types.append(str(value.dtype).removeprefix("torch."))
        result[name] = value.to(target)
    return result, sorted(set(types))


def _kind(name: str, value: torch.Tensor, own: torch.Tensor | None) -> str | None:
    kind = str(value.dtype).removeprefix("torch.")
    if value.is_nested or value.layout != torch.strided:
        return f"is not dense ({str(value.layout).removeprefix('torch.')}); save it with .to_dense()"
    if value.is_quantized or kind.startswith(("float8", "float4", "q", "bits", "uint1", "uint2", "uint4")):
        return f"is quantised ({kind}); give the weights from before quantisation"
    if value.device.type == "meta":
        return "has no values (it is on the meta device); save the model after its weights have been loaded"
    if value.is_complex():
        return f"is {kind}; weights are real numbers"
    floats = own.is_floating_point() if own is not None else name.endswith((".weight", ".bias"))
    if floats and not value.is_floating_point():
        return f"is {kind} where the model has floats; save the float weights"
    return None


def _not_finite(value: torch.Tensor, own: torch.Tensor | None) -> str | None:
    if not value.is_floating_point() or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return None  # expanded: a few values stand for many
    bad = value.numel() - int(torch.isfinite(value).sum())
    if not bad or (own is not None and own.device.type != "meta" and not torch.isfinite(own).all()):
        return None
    return (
        f"holds {bad} values of {value.numel()} that are NaN or infinite; its training went wrong, or the file is "
        f"damaged: give another checkpoint"
    )
