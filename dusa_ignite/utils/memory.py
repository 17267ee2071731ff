"""How much memory the machine has to spare, and errors that say it had too little."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "status_alloc_failed",  # of cuBLAS and cuDNN
)


def free_memory() -> int | None:
    """Bytes that this process can still take, by the machine and by its container; ``None`` where nobody says."""
    free = list(_left_in_groups())
    with suppress(OSError, ValueError, StopIteration):
        lines = (PROC / "meminfo").read_text(encoding="utf-8").splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    return max(0, min(free)) if free else None


def _left_in_groups() -> Iterator[int]:
    """What each control group that this process is in leaves it; its page cache counts as free."""
    for folder, limit, usage, cached in _groups():
        with suppress(OSError, ValueError):  # a limit may be the word max
            left = int((folder / limit).read_text(encoding="utf-8")) - int((folder / usage).read_text(encoding="utf-8"))
            found = re.search(rf"^{cached} (\d+)$", (folder / "memory.stat").read_text(encoding="utf-8"), re.MULTILINE)
            yield left + (int(found[1]) if found else 0)


def _groups() -> Iterator[tuple[Path, str, str, str]]:
    """The groups' folders, from the process's own up to the root, and what their files are called (cgroup v2 or v1)."""
    with suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            own = Path(path.lstrip("/"))
            if not controllers:  # version 2
                names, root = ("memory.max", "memory.current", "inactive_file"), CGROUPS
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                root = CGROUPS / "memory"
            else:
                continue
            for folder in (own, *own.parents):
                yield (root / folder, *names)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch or the system says that memory ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(word in str(error).lower() for word in WORDS)


def readable(size: float) -> str:
    """``8589934592`` -> ``8.0 GiB``."""
    for power, unit in enumerate(("bytes", "KiB", "MiB")):
        if size < 1024 ** (power + 1):
            return f"{size / 1024**power:.{1 if power else 0}f} {unit}"
    return f"{size / 1024**3:.1f} GiB"
