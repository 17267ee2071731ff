"""How a run ends becomes an exit code and at most one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dusa_ignite.distributed.launch import launch, reporting
from dusa_ignite.errors import ConfigError, Interrupted
from dusa_ignite.runs.checkpoints import find_newest


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("data.root: missing"), 2, "error: data.root: missing\n"),
        (
            Interrupted("stopped by a signal after update 3"),
            75,
            "stopped by a signal after update 3; resume with --resume\n",
        ),
    ],
)
def test_ends_that_a_user_understands(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise error

    assert reporting(run) == code
    assert capsys.readouterr().err == line


def test_a_defect_keeps_its_traceback() -> None:
    def run() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        reporting(run)


def test_a_run_that_comes_to_its_end() -> None:
    assert reporting(lambda number: None, 3) == 0
    assert reporting(lambda number: number, 3) == 3


def test_a_signal_while_a_file_is_read_does_not_mean_that_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        torch.save({"number": number}, tmp_path / f"checkpoint_{number}.pt")

    def read(*args: object, **kwargs: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(torch, "load", read)
    assert launch(lambda local_rank: find_newest(tmp_path, set_aside=True)) == 75
    assert capsys.readouterr().err == "stopped by a signal before the first update; resume with --resume\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_1.pt", "checkpoint_2.pt"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_first_update_is_no_crash(number: int) -> None:
    def stop(local_rank: int) -> None:
        os.kill(os.getpid(), number)

    assert launch(stop) == 75


def test_leaving_writes_what_was_printed_and_tears_nothing_down() -> None:
    code = "import atexit, sys\nfrom dusa_ignite.distributed.launch import exit_now\n"
    code += "atexit.register(print, 'torn down')\nsys.stdout.write('out')\nsys.stderr.write('err')\nexit_now(75)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (75, "out", "err")
