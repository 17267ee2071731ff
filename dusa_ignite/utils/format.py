"""Which version of run folders and checkpoints this code writes, and reads."""

from __future__ import annotations

FORMAT_VERSION = 3  # 1: before methods kept their own state; it had no number. 2: before the monitor


def why_not(found: int) -> str:
    """What to say of a folder or a file of another version."""
    return (
        f"was written in format {found}, which another version of dusa_ignite reads; this one has format "
        f"{FORMAT_VERSION}: install that version, or start again with --overwrite"
    )
