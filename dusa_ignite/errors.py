"""Errors that a user can mend.

Everything the package raises because of something outside it (a config, a folder, a checkpoint) derives from
:class:`UserError`; the launch scripts print its message on one line and exit with code 2. Any other exception is a
defect of the package and keeps its traceback.
"""

from __future__ import annotations

import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")

USER_ERROR = 2  # exit codes
BROKEN_PIPE = 128 + signal.SIGPIPE  # what shells say of a program that wrote to a reader who had left
INTERRUPTED = 75  # sysexits.h EX_TEMPFAIL: stopped by a signal, saved, to be resumed
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class UserError(Exception):
    """Something the user gave cannot be used; the message names the file or key and what to do."""


class ConfigError(UserError):
    """A config file or an override is wrong."""


class DataError(UserError):
    """A data folder or an image is missing or unreadable."""


class CheckpointError(UserError):
    """A weights file is missing, unreadable, or does not fit the model."""


class OutOfMemory(UserError):
    """A run takes more memory than there is; the message says what would take less."""


class Interrupted(Exception):
    """A signal asked the run to stop; it has been saved."""


class StoppedEarly(BaseException):
    """A signal asked the run to stop before its first update; there is nothing to save.

    Like ``KeyboardInterrupt`` no ``Exception``: it may come while a file is read, and does not mean that it is damaged.
    """


def report_errors(main: Callable[P, int]) -> Callable[P, int]:
    """Where something the user gave cannot be used, the reason goes to standard error and the exit code is 2.

    So it is where what a command prints cannot be written; if nobody reads it any more (``| head``), it ends silently.
    A character that the console does not have is printed as its escape (``\\u2192``).
    """

    @functools.wraps(main)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> int:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            try:
                return main(*args, **kwargs)
            finally:
                _flush_output()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return USER_ERROR
        except OSError as error:
            if not _output_is_lost():
                raise
            if isinstance(error, BrokenPipeError):
                return BROKEN_PIPE
            print(f"error: standard output: cannot be written to ({error.strerror})", file=sys.stderr)
            return USER_ERROR

    return reporting


def _flush_output() -> None:
    if sys.stdout is not None:  # it is None where it was closed before the start
        sys.stdout.flush()


def _output_is_lost() -> bool:
    """Whether standard output fails again, with an empty line; if so, what is still in its buffer is given up."""
    try:
        print(flush=True)
        return False
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
