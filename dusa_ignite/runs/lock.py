"""One process at a time writes to a run's folder."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.folder import unwritable

logger = logging.getLogger(__name__)

NAME = ".lock"  # in the run's folder
WAIT_SECONDS = 5.0  # a process that was killed may take a moment to go


class RunLock:
    """Held from :meth:`acquire` to :meth:`release`; the system releases it when the process dies, however it does.

    Args:
        folder: of the run; made if missing, and removed again if nothing is in it in the end.

    Example:
        >>> lock = RunLock(folder)
        >>> lock.acquire()
        >>> try:
        ...     write_to(folder)
        ... finally:
        ...     lock.release()
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the folder; wait for a moment if another process has it.

        Raises:
            ConfigError: another process still has it, or the folder cannot be written to.
        """
        until = time.monotonic() + WAIT_SECONDS
        while not self._try():
            if time.monotonic() >= until:
                raise ConfigError(f"{self.folder}: is being written to by another process; wait for it, or stop it")
            time.sleep(0.05)

    def release(self) -> None:
        """Give the folder back; nothing happens if it is not held."""
        if self._descriptor is None or self._descriptor not in _held:
            return
        with suppress(OSError):
            (self.folder / NAME).unlink()
        with suppress(OSError):
            self.folder.rmdir()  # fails unless it is empty
        _held.discard(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None

    def _try(self) -> bool:
        path = self.folder / NAME
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            logger.warning("%s: cannot be locked (%s); let no other process write to it", self.folder, error.strerror)
        if not _is_at(path, descriptor):  # the one before has removed it just now
            os.close(descriptor)
            return False
        _held.add(descriptor)
        self._descriptor = descriptor
        return True


def in_use(folder: Path) -> bool:
    """Whether another process writes to a run's folder at this moment. Nothing in it is changed."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # no process has left one, or none can
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # this disk has no locks
    finally:
        os.close(descriptor)
    return False


_held: set[int] = set()  # descriptors


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _leave_to_parent() -> None:
    """A forked process, such as one that loads images, has a part in its parent's locks: it must not outlive it."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
