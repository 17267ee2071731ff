"""The command line of comparisons: one whole comparison, stopped, gone on with and repeated; and wrong inputs."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.files import ROOT
from support.written_runs import write_run

from dusa_ignite.commands.main import main

COMMAND = [sys.executable, "launch/compare.py"]
SMALL = [
    "--config",
    "configs/digits.yaml",
    "data.corruptions=[contrast]",
    "run.num_threads=1",
    "data.clean_root=null",
    "data.batch_size=8",
    "data.limit=120",
]


class Done(NamedTuple):
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def compare(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command from the repository's root, in this process: what it starts are processes of their own."""
    monkeypatch.chdir(ROOT)

    def call(*arguments: str) -> Done:
        capfd.readouterr()
        code = main(["compare", *arguments])
        return Done(code, *capfd.readouterr())

    return call


def wait_for(path: Path, content: str) -> None:
    deadline = time.monotonic() + 120
    while not (path.exists() and content in path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_stopped_gone_on_with_and_repeated(compare: Callable[..., Done], tmp_path: Path) -> None:
    arguments = [*SMALL, "--methods", "dusa", "--seeds", "3", f"output_dir={tmp_path}"]
    first = subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    updates = tmp_path / "digits" / "dusa_seed3" / "metrics.jsonl"
    wait_for(updates, "\n")
    os.kill(first.pid, signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 75, err
    assert "stopped in dusa, seed 3; the same command goes on from there" in out
    assert (tmp_path / "digits" / "source_seed3" / "summary.json").exists()
    done_before = len(updates.read_text().splitlines())
    assert done_before < 15  # 120 images by 8
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("digits/source_seed3/*")}

    second = compare(*arguments)
    assert second.returncode == 0, second.stderr
    assert "1 of 2 runs are finished already\n[1/1] dusa, seed 3" in second.stdout
    assert f"resumed after update {done_before}" in (updates.parent / "log.txt").read_text()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("digits/source_seed3/*")} == times
    with (tmp_path / "digits" / "comparison.csv").open() as file:
        source, dusa = csv.DictReader(file)
    assert (source["method"], dusa["method"]) == ("source", "dusa")
    with (updates.parent / "results.csv").open() as file:
        assert dusa["top1 contrast/5"] == next(csv.DictReader(file))["top1"]
    assert float(source["difference mean"]) == pytest.approx(float(source["top1 mean"]) - float(dusa["top1 mean"]))

    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("digits/*_seed3/*")}
    third = compare(*arguments)
    assert third.returncode == 0
    assert third.stdout == second.stdout.replace("1 of 2 runs", "2 of 2 runs").replace(
        second.stdout.partition("already\n")[2].partition("\ntop-1")[0], ""
    )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("digits/*_seed3/*")} == times


@pytest.mark.slow
def test_a_failing_run_stops_the_comparison(tmp_path: Path) -> None:
    """As a process: a run's own process says what is wrong on the standard error that it has begun with."""
    missing = tmp_path / "weights.safetensors"
    options = ["--methods", "source,dusa", f"output_dir={tmp_path}", f"classifier.checkpoint={missing}"]
    done = subprocess.run([*COMMAND, *SMALL, *options], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert str(missing) in done.stderr
    assert "source, seed 0 failed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "configs/digits.yaml", "--methods", "sorce"], "did you mean source?"),
        (["--config", "configs/digits.yaml"], "--methods: missing"),
        (["--methods", "dusa"], "--config: missing"),
        (["--config", "nowhere.yaml", "--methods", "dusa"], "nowhere.yaml: neither a file nor a shipped config"),
        (["--paper", "nowhere"], "nowhere: holds no finished run"),
    ],
)
def test_wrong_inputs(compare: Callable[..., Done], arguments: list[str], expected: str) -> None:
    done = compare(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert expected in done.stderr
    assert done.stdout == ""


def test_another_config_is_refused(compare: Callable[..., Done], tmp_path: Path) -> None:
    write_run(tmp_path / "source_seed0", {"fog/5": "++"}, overrides=["data.limit=2"])
    done = compare(*SMALL, "--methods", "dusa", "--output", str(tmp_path))
    assert done.returncode == 2
    assert "data.limit: 2 before, 120 now" in done.stderr
    assert done.stderr.count("\n") == 1


def test_paper(compare: Callable[..., Done]) -> None:
    done = compare("--paper")
    assert done.returncode == 0
    header = "1 fully, ResNet50-GN  gauss  shot  impul  defoc  glass  motion  zoom  snow  frost   fog  brit  contr"
    assert done.stdout.splitlines()[2].startswith(header)
