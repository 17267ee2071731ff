"""Where things are in the tree, and the golden vectors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
GOLDEN = ROOT / "tests" / "golden"


def load_golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A golden file's tensors and its metadata."""
    with safe_open(GOLDEN / f"{name}.safetensors", framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def split_golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, int]]:
    """A tiny transformer's weights, its inputs and outputs, and its sizes as arguments of load_transformer."""
    tensors, meta = load_golden(name)
    weights = {key.removeprefix("weights."): value for key, value in tensors.items() if key.startswith("weights.")}
    others = {key: value for key, value in tensors.items() if not key.startswith("weights.")}
    names = ("in_channels", "patch_size", "hidden_size", "depth", "num_heads", "num_classes")
    return weights, others, {"latent_size": int(meta["input_size"]), **{key: int(meta[key]) for key in names}}
