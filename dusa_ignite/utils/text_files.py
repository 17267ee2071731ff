"""Small text files that somebody else wrote."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, *, limit: int) -> bytes:
    """The content of a file, which may be no pipe, device or socket: there, reading might never come to an end.

    Args:
        path: the file.
        limit: bytes that it may hold.

    Raises:
        OSError: it is missing, unreadable, too large or no file; the reason is in ``strerror``.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL in its name
        raise OSError(errno.EINVAL, str(error)) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe, device or socket; write it to a file first")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes")
    return content
