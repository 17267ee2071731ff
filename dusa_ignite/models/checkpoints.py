"""Reading weights from files: safetensors or pickles, flat or nested, always strict."""

from __future__ import annotations

import argparse
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import nn

from dusa_ignite.errors import CheckpointError

NESTED_KEYS = (
    "ema",
    "state_dict_ema",
    "state_dict",
    "model",
)  # where training scripts put the weights; averaged ones first


def locate(checkpoint: str, *, key: str, embedded: str | None = None) -> Path:
    """The file a config's ``checkpoint`` stands for.

    Args:
        checkpoint: a path, ``hub:<repo>:<file>``, or ``embedded``.
        key: the config key, for error messages.
        embedded: name of the digits weights in the package that ``embedded`` stands for.

    Raises:
        CheckpointError: there is no such file, or the hub cannot be reached.
    """
    if checkpoint == "embedded" and embedded:
        return Path(str(resources.files("dusa_ignite"))) / "assets" / "digits" / f"{embedded}.safetensors"
    if checkpoint.startswith("hub:"):
        return _download(checkpoint, key=key)
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise CheckpointError(f"{key}: {checkpoint}: no such file; give the path of a weights file")
    return path


def _download(checkpoint: str, *, key: str) -> Path:
    try:
        _, repo, filename = checkpoint.split(":")
    except ValueError:
        raise CheckpointError(f"{key}: {checkpoint}: write hub:<owner>/<repo>:<file>") from None
    try:
        return Path(hf_hub_download(repo, filename))
    except Exception as error:  # the hub's errors share no base class: offline, unknown repository, refused access, ...
        raise CheckpointError(
            f"{key}: {checkpoint}: not in the local cache and could not be downloaded ({type(error).__name__}); "
            f"offline, fetch the file elsewhere and give its path"
        ) from error


def load_weights(checkpoint: str, *, key: str, embedded: str | None = None) -> dict[str, torch.Tensor]:
    """Read a weights file into a flat mapping of names to CPU tensors.

    A nested training checkpoint is unwrapped (``ema`` before ``state_dict`` before ``model``), and a ``module.`` or
    ``_orig_mod.`` prefix common to all names is removed. Pickles are read with ``weights_only``.

    Args:
        checkpoint: see :func:`locate`.
        key: the config key, for error messages.
        embedded: see :func:`locate`.

    Raises:
        CheckpointError: the file is missing, damaged, or holds something other than weights.
    """
    path = locate(checkpoint, key=key, embedded=embedded)
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts store their arguments
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler answers garbage with errors of any kind: KeyError, struct.error, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{key}: {path}: not a readable weights file: {reason}") from error
    while isinstance(content, dict) and (nested := next((k for k in NESTED_KEYS if _is_mapping(content, k)), None)):
        content = content[nested]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise CheckpointError(f"{key}: {path}: holds no mapping of parameter names to tensors")
    return _without_prefix(content)


def _is_mapping(content: dict, key: str) -> bool:
    return isinstance(content.get(key), dict)


def _without_prefix(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in ("module.", "_orig_mod."):
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


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
            f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
            for name in own
            if name in weights and weights[name].shape != own[name].shape
        ],
    }
    if any(problems.values()):
        text = "; ".join(f"{len(names)} {what}: {_first(names)}" for what, names in problems.items() if names)
        raise CheckpointError(f"{source}: does not fit the model: {text}")
    model.load_state_dict(weights)


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def weights_sha256(model: nn.Module) -> str:
    """A SHA-256 over names, types and values of a model's parameters and buffers: what was really loaded."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
