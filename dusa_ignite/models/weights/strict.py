"""Putting weights into a model, always strict; writing them; and a digest of what was loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.shown import shown


def load_strict(model: nn.Module, weights: dict[str, torch.Tensor], *, source: str) -> None:
    """Load weights that must match the model's parameters and buffers one by one.

    Raises:
        CheckpointError: names or shapes differ; the message lists the first few and nothing has been loaded.
    """
    own = model.state_dict()
    problems = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [
            f"{shown(name)} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
            for name in own
            if name in weights and weights[name].shape != own[name].shape
        ],
    }
    if any(problems.values()):
        text = "; ".join(f"{len(names)} {what}: {_first(names)}" for what, names in problems.items() if names)
        raise CheckpointError(f"{source}: does not fit the model: {text}")
    model.load_state_dict(weights)


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(map(shown, names[:count])) + (", ..." if len(names) > count else "")


def save_weights(weights: Mapping[str, torch.Tensor], path: Path, *, texts: dict[str, str] | None = None) -> None:
    """Write a safetensors file at once, with the permissions that the umask gives any new file.

    Args:
        weights: names to tensors; no two may share memory.
        path: of the file; what stands there is replaced when the new one is complete.
        texts: metadata of the file.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.touch()
    mode = part.stat().st_mode
    save_file({name: value.contiguous() for name, value in weights.items()}, part, texts)
    part.chmod(mode)  # safetensors writes files that only their owner may read
    os.replace(part, path)


def weights_sha256(model: nn.Module) -> str:
    """A SHA-256 over names, types and values of a model's parameters and buffers: what was really loaded."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
