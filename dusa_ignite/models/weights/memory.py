"""How much memory the machine has to spare, and errors that say it had too little."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from pathlib import Path

WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "bad_alloc")


def free_memory() -> int | None:
    """Bytes that this process can still take, by the machine and by its container; ``None`` where nobody says."""
    free = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        used = int((group / "memory.current").read_text(encoding="utf-8"))
        cached = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(encoding="utf-8"), re.MULTILINE)
        free.append(int((group / "memory.max").read_text(encoding="utf-8")) - used + (int(cached[1]) if cached else 0))
    return max(0, min(free)) if free else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch or the system says that memory ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(word in str(error).lower() for word in WORDS)


def readable(size: int) -> str:
    """``8589934592`` -> ``8.0 GiB``."""
    for power, unit in enumerate(("bytes", "KiB", "MiB")):
        if size < 1024 ** (power + 1):
            return f"{size / 1024**power:.{1 if power else 0}f} {unit}"
    return f"{size / 1024**3:.1f} GiB"
