"""What is free, by the machine and by control groups of both versions; errors that say that memory ran out."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from dusa_ignite.utils import memory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1,000 KiB to spare, and this process in no group."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "groups")
    write(tmp_path / "proc" / "meminfo", "MemTotal: 9000 kB\nMemAvailable:    1000 kB\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_machine_says_what_is_available(machine: Path) -> None:
    assert memory.free_memory() == 1000 * 1024
    (machine / "proc" / "meminfo").unlink()
    assert memory.free_memory() is None


def test_a_group_of_version_2_and_those_above_it(machine: Path) -> None:
    write(machine / "proc" / "self" / "cgroup", "0::/jobs/mine\n")
    own, above = machine / "groups" / "jobs" / "mine", machine / "groups" / "jobs"
    write(own / "memory.max", "max\n")
    write(above / "memory.max", "500000\n")
    write(above / "memory.current", "300000\n")
    write(above / "memory.stat", "anon 7\ninactive_file 50000\nactive_file 3\n")
    assert memory.free_memory() == 500_000 - 300_000 + 50_000
    write(above / "memory.current", "900000\n")
    assert memory.free_memory() == 0


def test_a_group_of_version_1_seen_from_its_container(machine: Path) -> None:
    write(machine / "proc" / "self" / "cgroup", "9:cpu:/x\n4:memory,hugetlb:/docker/abc\n0::/\n")
    folder = machine / "groups" / "memory"  # where a container finds its own group
    write(folder / "memory.limit_in_bytes", "600000\n")
    write(folder / "memory.usage_in_bytes", "200000\n")
    write(folder / "memory.stat", "inactive_file 1\ntotal_inactive_file 10000\n")
    assert memory.free_memory() == 410_000


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_say_so(error: Exception) -> None:
    assert memory.is_out_of_memory(error)


def test_other_errors() -> None:
    assert not memory.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not memory.is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))
