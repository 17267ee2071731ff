"""What a run was made of: enough to repeat it, or to see why two runs differ."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from torch import nn

from dusa_ignite.data.stream import Task
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.weights import weights_sha256
from dusa_ignite.utils.format import FORMAT_VERSION

PACKAGES = ("dusa_ignite", "torch", "torchvision", "pytorch-ignite", "timm", "diffusers", "numpy", "pillow", "pydantic")


def describe_run(
    *,
    classifier: Classifier,
    guide: Guide | None,
    tasks: Sequence[Task],
    seed: int,
    compute_dtype: torch.dtype,
    own_parts: Mapping[str, str],
) -> dict[str, Any]:
    """Versions, git commit, hashes of weights and data, hardware, seed and command line, as plain JSON values.

    Args:
        classifier, guide: with the weights that the run starts from; each model gets a SHA-256 over its tensors.
        tasks: each gets its data set's fingerprint.
        seed: of the run.
        compute_dtype: what ``run.precision`` came to.
        own_parts: the SHA-256 of the file of every part of the user's own, by its reference.
    """
    models: dict[str, nn.Module] = {"classifier": classifier}
    if guide is not None:
        models["transformer"] = guide.transformer
        if guide.vae is not None:
            models["vae"] = guide.vae
    return {
        "format_version": FORMAT_VERSION,
        "command": sys.argv,
        "launch": launch_id(),
        "seed": seed,
        "world_size": idist.get_world_size(),
        "compute_dtype": str(compute_dtype).removeprefix("torch."),
        "device": idist.device().type,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "git_commit": git_commit(),
        "weights_sha256": {name: weights_sha256(model) for name, model in models.items()},
        "own_parts": dict(own_parts),
        "data_fingerprints": {task.name: task.dataset.fingerprint() for task in tasks},
        "hardware": hardware(),
    }


def launch_id() -> str:
    """The same for processes that torchrun restarts as for those before; other launches have others."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return name if name != "none" else f"{platform.node()}, process {os.getppid()}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None  # run from a checkout that is not installed


def git_commit() -> str | None:
    """The commit of the package's own checkout, with ``-dirty`` where files differ; ``None`` outside a checkout."""
    folder = Path(__file__).parent
    try:
        inside = subprocess.run(["git", "ls-files", "--error-unmatch", __file__], cwd=folder, capture_output=True)
        if inside.returncode:
            return None  # installed into an environment that happens to lie in somebody else's checkout
        described = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        return subprocess.run(described, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware() -> dict[str, Any]:
    """The machine: platform, processor cores, threads in use, and GPUs."""
    count = torch.cuda.device_count()
    return {
        "platform": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(count)],
    }


def peak_memory_bytes() -> dict[str, int]:
    """The most memory this process has held so far: ``host`` (resident), and ``gpu`` where one is in use."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if torch.cuda.is_available():
        peak["gpu"] = torch.cuda.max_memory_allocated()
    return peak
