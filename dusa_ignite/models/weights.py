"""Reading weights from files: safetensors or pickles, flat or nested, always strict."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import re
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file, save_file
from torch import nn

from dusa_ignite.errors import CheckpointError
from dusa_ignite.utils.quiet import quiet

NESTED_KEYS = (
    "ema",
    "state_dict_ema",
    "state_dict",
    "model",
)  # where training scripts put the weights; averaged ones first


def locate(checkpoint: str | Path, *, key: str, embedded: str | None = None) -> Path:
    """The file a config's ``checkpoint`` stands for.

    Args:
        checkpoint: a path, ``hub:<repo>:<file>``, or ``embedded``.
        key: the config key, for error messages.
        embedded: name of the digits weights in the package that ``embedded`` stands for.

    Raises:
        CheckpointError: there is no such file, or the hub cannot be reached.
    """
    checkpoint = str(checkpoint)
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
        with quiet():
            return Path(hf_hub_download(repo, filename))
    except Exception as error:  # the hub's errors share no base class: offline, unknown repository, refused access, ...
        raise CheckpointError(
            f"{key}: {checkpoint}: not in the local cache and could not be downloaded ({type(error).__name__}); "
            f"offline, fetch the file elsewhere and give its path"
        ) from error


def load_weights(checkpoint: str | Path, *, key: str, embedded: str | None = None) -> dict[str, torch.Tensor]:
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
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except OSError as error:
        raise CheckpointError(f"{key}: {path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # the unpickler answers garbage with errors of any kind: KeyError, struct.error, ...
        raise CheckpointError(f"{key}: {path}: {_what_is_wrong(error)}") from error
    while isinstance(content, dict) and (nested := next((k for k in NESTED_KEYS if _is_mapping(content, k)), None)):
        content = content[nested]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise CheckpointError(f"{key}: {path}: holds no mapping of parameter names to tensors")
    return _without_prefix(content)


def _unpickle(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols
        with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts store their arguments
            return torch.load(path, map_location="cpu", weights_only=True)


def _what_is_wrong(error: Exception) -> str:
    """In our own words: torch's advise to read the file unsafely."""
    if isinstance(error, pickle.UnpicklingError) and "operand" not in str(error):
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        kind = f" ({found[1]})" if found else ""
        return f"holds Python objects other than tensors{kind}; save its state_dict alone and give that file"
    return "damaged, or not a checkpoint; fetch it again, or give another file"


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


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file at once, with the permissions that the umask gives any new file.

    Args:
        weights: names to tensors; no two may share memory.
        path: of the file; what stands there is replaced when the new one is complete.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.touch()
    mode = part.stat().st_mode
    save_file({name: value.contiguous() for name, value in weights.items()}, part)
    part.chmod(mode)  # safetensors writes files that only their owner may read
    os.replace(part, path)


def weights_sha256(model: nn.Module) -> str:
    """A SHA-256 over names, types and values of a model's parameters and buffers: what was really loaded."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
