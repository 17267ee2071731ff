"""Two processes never write to one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dusa_ignite.errors import ConfigError
from dusa_ignite.runs import lock as run_lock
from dusa_ignite.runs.lock import RunLock

HOLD = """
import os, sys, time
from pathlib import Path
from dusa_ignite.runs.lock import RunLock
RunLock(Path(sys.argv[1])).acquire()
orphan = os.fork()
if orphan == 0:
    time.sleep(60)
    os._exit(0)
print(orphan, flush=True)
time.sleep(60)
"""


def test_another_run_waits_for_a_moment_and_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "WAIT_SECONDS", 0.2)
    one, other = RunLock(tmp_path / "run"), RunLock(tmp_path / "run")
    one.acquire()
    with pytest.raises(ConfigError) as caught:
        other.acquire()
    assert str(caught.value) == (f"{tmp_path / 'run'}: is being written to by another process; wait for it, or stop it")
    other.release()  # it has nothing to release
    assert (tmp_path / "run" / ".lock").exists()
    one.release()
    assert not (tmp_path / "run").exists()  # nothing was written
    other.acquire()
    (tmp_path / "run" / "log.txt").touch()
    other.release()
    other.release()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["log.txt"]


def test_a_killed_process_holds_nothing_even_where_one_it_forked_lives_on(tmp_path: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    orphan = int(held.stdout.readline())
    try:
        lock = RunLock(tmp_path)
        assert not lock._try()
        held.send_signal(signal.SIGKILL)
        held.wait()
        begun = time.monotonic()
        lock.acquire()
        assert time.monotonic() - begun < 2
        os.kill(orphan, 0)  # it still lives
        lock.release()
    finally:
        held.kill()
        held.wait()
        held.stdout.close()
        os.kill(orphan, signal.SIGKILL)


def test_the_file_that_the_one_before_has_removed_is_not_taken(tmp_path: Path) -> None:
    one, other = RunLock(tmp_path), RunLock(tmp_path)
    (tmp_path / "log.txt").touch()
    one.acquire()
    waiting = os.open(tmp_path / ".lock", os.O_RDWR)  # opened before the one before has removed it
    one.release()
    assert not run_lock._is_at(tmp_path / ".lock", waiting)
    other.acquire()
    assert not run_lock._is_at(tmp_path / ".lock", waiting)
    os.close(waiting)
    other.release()


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    said: list[str] = []
    monkeypatch.setattr(run_lock.fcntl, "flock", flock)
    monkeypatch.setattr(run_lock.logger, "warning", lambda text, *args: said.append(text % args))
    lock = RunLock(tmp_path)
    lock.acquire()
    lock.release()
    assert said == [f"{tmp_path}: cannot be locked (Operation not supported); let no other process write to it"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ConfigError, match=r"runs/mine: cannot be written to \(.+\); choose another output_dir"):
        RunLock(tmp_path / "runs" / "mine").acquire()
