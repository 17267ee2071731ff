"""What a run was made of."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from dusa_ignite.runs import provenance
from dusa_ignite.runs.provenance import PACKAGES, describe_run, git_commit, hardware, launch_id, peak_memory_bytes
from dusa_ignite.utils.format import FORMAT_VERSION

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def describe(classifier: nn.Module, guide: Any = None, tasks: Any = ()) -> dict[str, Any]:
    own_parts = {"mine.py:Mine": "a" * 64}
    return describe_run(
        classifier=classifier,  # type: ignore[arg-type]
        guide=guide,
        tasks=tasks,
        seed=2024,
        compute_dtype=torch.bfloat16,
        own_parts=own_parts,
    )


def test_description() -> None:
    tasks = [
        SimpleNamespace(name=name, dataset=SimpleNamespace(fingerprint=lambda: "f" * 64)) for name in ("fog/5", "b")
    ]
    guide = SimpleNamespace(transformer=nn.Linear(2, 2), vae=nn.Linear(1, 1))
    found = describe(model(), guide, tasks)
    assert found.keys() == {
        "format_version",
        "command",
        "launch",
        "seed",
        "world_size",
        "compute_dtype",
        "device",
        "versions",
        "git_commit",
        "weights_sha256",
        "own_parts",
        "data_fingerprints",
        "hardware",
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["format_version"], found["seed"], found["world_size"]) == (FORMAT_VERSION, 2024, 1)
    assert (found["command"], found["compute_dtype"], found["device"]) == (sys.argv, "bfloat16", "cpu")
    assert found["data_fingerprints"] == {"fog/5": "f" * 64, "b": "f" * 64}
    assert found["own_parts"] == {"mine.py:Mine": "a" * 64}
    assert found["weights_sha256"].keys() == {"classifier", "transformer", "vae"}
    assert found["versions"].keys() == {"python", *PACKAGES}
    assert found["versions"]["torch"] in (torch.__version__, torch.__version__.split("+")[0])


def test_models_that_are_there() -> None:
    assert describe(model())["weights_sha256"].keys() == {"classifier"}
    in_pixels = SimpleNamespace(transformer=nn.Linear(2, 2), vae=None)
    assert describe(model(), in_pixels)["weights_sha256"].keys() == {"classifier", "transformer"}


def test_weights_hash_tells_models_apart() -> None:
    def sha(change: nn.Module) -> str:
        return describe(change)["weights_sha256"]["classifier"]

    before = sha(model())
    assert len(bytes.fromhex(before)) == 32
    assert sha(model()) == before
    weight, buffer = model(), model()
    with torch.no_grad():
        weight[0].weight[1, 1] += 1e-6  # type: ignore[index, operator]
        buffer[1].running_mean[0] += 1e-6  # type: ignore[index, operator]
    renamed = nn.Sequential(nn.Identity(), *model())
    assert len({before, sha(weight), sha(buffer), sha(model().double()), sha(renamed)}) == 5


def test_a_launch_and_its_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert launch_id() == f"{platform.node()}, process {os.getppid()}"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # torchrun's default
    assert launch_id() == f"{platform.node()}, process {os.getppid()}"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job 12")
    assert launch_id() == "job 12"


@needs_git
def test_git_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "package" / "provenance.py"
    file.parent.mkdir()
    file.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(file))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert git_commit() is None

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "other").write_text("")
    git("add", "other")
    git("commit", "--quiet", "-m", "without the package")
    assert git_commit() is None  # a checkout, but somebody else's
    git("add", "package")
    git("commit", "--quiet", "-m", "with the package")
    git("tag", "-a", "v1", "-m", "a tag is not a commit")
    assert git_commit() == git("rev-parse", "HEAD")
    file.write_text("changed")
    assert git_commit() == git("rev-parse", "HEAD") + "-dirty"


def test_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None


def test_hardware() -> None:
    torch.set_num_threads(2)
    found = hardware()
    assert found.keys() == {"platform", "cpu_cores", "torch_threads", "gpus"}
    assert found["torch_threads"] == 2
    assert found["cpu_cores"] >= 1
    assert len(found["gpus"]) == torch.cuda.device_count()


def test_peak_memory() -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs Linux's /proc")
    (kibibytes,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    assert peak_memory_bytes()["host"] == pytest.approx(1024 * int(kibibytes), rel=0.05)
