"""Output that cannot fail: what a run prints is the least of what it makes, and must never end it."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

STDOUT = 1


def outlive_the_console() -> None:
    """What cannot be written any more is lost, to a closed pipe, a full disk or a terminal that is gone; a character
    that the console does not have becomes its escape (``\\u2192``).

    From here on, in this process. For runs, whose results are in files; a command that is there to print something
    fails instead, see :func:`dusa_ignite.errors.report_errors`.
    """
    sys.stdout, sys.stderr = _lossy(sys.stdout), _lossy(sys.stderr)


class _LossyFile(io.RawIOBase):
    """A file that takes everything, whether or not it can be written."""

    def __init__(self, file: io.FileIO, *, stream: TextIO) -> None:
        self.file = file
        self.stream = stream  # which would close the file if nobody held it
        self.told = file.fileno() != STDOUT

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.file.fileno()

    def isatty(self) -> bool:
        return self.file.isatty()

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            if not self.told and not isinstance(error, BrokenPipeError):
                self.told = True
                print(f"standard output: cannot be written to ({error.strerror}); the run goes on", file=sys.stderr)
            return len(data)


def _lossy(stream: TextIO | None) -> TextIO:
    """The same stream, without its errors; one that is no file, such as a notebook's, stays as it is."""
    if stream is None:  # it was closed before the start
        return open(os.devnull, "w", encoding="utf-8")
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # PYTHONUNBUFFERED leaves the buffer out
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.FileIO):
        return stream
    with suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(raw, stream=stream)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or stream.write_through,
    )
