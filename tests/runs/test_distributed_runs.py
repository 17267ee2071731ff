"""Whole runs in several processes give the numbers of one, also when a process dies on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import ROOT
from support.interruptions import interrupt_after

from dusa_ignite.config import load_config
from dusa_ignite.distributed.launch import launch
from dusa_ignite.errors import ConfigError, Interrupted
from dusa_ignite.results.rows import TIME_COLUMNS, read_csv
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.checkpoints import load_newest

pytestmark = pytest.mark.slow

OPTIONS = [  # two tasks of 36 images: updates of 16, 16 and 4; with three processes the shares are uneven
    "data.corruptions=[shot_noise, contrast]",
    "data.limit=36",
    "data.clean_root=null",
    "data.batch_size=16",
    "data.micro_batch_size=4",
    "run.precision=float64",
    "run.num_threads=1",
    "distributed.timeout_minutes=5",
    "setting=continual",
    "name=run",
]
CONFIG = ["--config", "configs/digits.yaml"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def start(command: list[str], folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that takes the options of ``launch/main.py``."""
    return subprocess.run(
        [*command, *CONFIG, *OPTIONS, f"output_dir={folder}", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )


def run_here(folder: Path, *options: str) -> str:
    """The same as one process, this one; returns the log."""
    overrides = [*OPTIONS, f"output_dir={json.dumps(str(folder))}", *options]
    adapt(0, load_config(ROOT / "configs" / "digits.yaml", overrides))
    return (folder / "run" / "log.txt").read_text()


def run_in_several(folder: Path, *options: str, nproc: int = 2) -> None:
    """The same as ``--nproc``, of this process: they are forked from a server."""
    overrides = [*OPTIONS, f"output_dir={json.dumps(str(folder))}", *options]
    assert launch(adapt, load_config(ROOT / "configs" / "digits.yaml", overrides), nproc=nproc, timeout=5) == 0


def outcome(folder: Path) -> tuple[list[dict[str, Any]], bytes]:
    """Results without times, and all predictions."""
    rows = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_csv(folder / "run" / "results.csv")]
    return rows, (folder / "run" / "predictions.csv").read_bytes()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Both models' final weights."""
    content = load_newest(folder / "run" / "checkpoints")
    assert content is not None
    return {f"{m}.{name}": value for m in ("classifier", "transformer") for name, value in content[m].items()}


def assert_equal_runs(one: Path, other: Path) -> None:
    """Equal results and predictions, weights to 1e-9."""
    assert outcome(one) == outcome(other)
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in one process."""
    folder = tmp_path_factory.mktemp("single")
    run_here(folder)
    return folder


def test_three_processes_of_torchrun_within_slurm(single: Path, tmp_path: Path) -> None:
    slurm = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1"}
    slurm |= {"SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "localhost"}  # Ignite would take ranks from these
    done = start([*TORCHRUN, "--nproc_per_node=3", "launch/main.py"], tmp_path, **slurm)
    assert done.returncode == 0, done.stderr
    assert_equal_runs(single, tmp_path)


def test_nproc_starts_processes(single: Path, tmp_path: Path) -> None:
    run_in_several(tmp_path)
    assert_equal_runs(single, tmp_path)


def test_single_precision_differs_in_few_images(tmp_path: Path) -> None:
    run_here(tmp_path / "one", "run.precision=float32")
    run_in_several(tmp_path / "two", "run.precision=float32")
    for a, b in zip(outcome(tmp_path / "one")[0][:-1], outcome(tmp_path / "two")[0][:-1], strict=True):
        assert abs(a["top1"] - b["top1"]) * a["images"] <= 2


@pytest.mark.parametrize("setting", ["continual", "fully"])
def test_fsdp_and_its_checkpoints_on_another_number_of_processes(single: Path, tmp_path: Path, setting: str) -> None:
    extra = [] if setting == "continual" else ["optimizer.name=sgd", "optimizer.lr=1e-3"]
    sharded = ["distributed.strategy=fsdp", f"setting={setting}", *extra]
    mark = {"DIE_MARK": str(tmp_path / "mark"), "DIE_RANK": "0", "DIE_UPDATE": "4", "DIE_SIGNAL": "SIGTERM"}
    done = start([*TORCHRUN, "--nproc_per_node=2", "tests/support/run_and_die.py"], tmp_path, *sharded, **mark)
    assert "after update 4; resume with --resume" in done.stderr
    run_in_several(tmp_path, *sharded, "resume=auto", nproc=3)
    assert "resumed after update 4" in (tmp_path / "run" / "log.txt").read_text()
    if setting == "continual":
        assert_equal_runs(single, tmp_path)
    else:
        run_here(tmp_path / "one", f"setting={setting}", *extra)
        assert outcome(tmp_path / "one") == outcome(tmp_path)


def test_stopped_in_one_process_resumed_in_two(single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_after(5, patch)
        with pytest.raises(Interrupted, match="after update 5"):
            run_here(tmp_path)
    run_in_several(tmp_path, "resume=auto")
    assert "resumed after update 5" in (tmp_path / "run" / "log.txt").read_text()
    assert_equal_runs(single, tmp_path)


def test_torchrun_restarts_a_run_whose_process_was_killed(single: Path, tmp_path: Path) -> None:
    late = "1"  # the rank that comes late: the other meets what the dead ones have left
    mark = {"DIE_MARK": str(tmp_path / "mark"), "DIE_RANK": late, "DIE_UPDATE": "5", "DIE_SIGNAL": "SIGKILL"}
    mark["DIE_LATE"] = "3"
    options = ["resume=auto", "checkpoint.every_updates=2"]
    command = [*TORCHRUN, "--nproc_per_node=2", "--max-restarts=1", "tests/support/run_and_die.py"]
    done = start(command, tmp_path, *options, **mark)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mark").exists()
    assert "resumed after update 4" in done.stdout
    assert_equal_runs(single, tmp_path)


@pytest.mark.parametrize(
    ("command", "rank", "code"),
    [
        ([sys.executable, "tests/support/run_and_die.py", "--nproc", "2"], "0", 75),
        ([*TORCHRUN, "--nproc_per_node=2", "tests/support/run_and_die.py"], "1", 1),
    ],
)
def test_a_signal_to_everybody_waits_for_a_slow_save(
    single: Path, tmp_path: Path, command: list[str], rank: str, code: int
) -> None:
    mark = {"DIE_MARK": str(tmp_path / "mark"), "DIE_RANK": rank, "DIE_UPDATE": "4", "DIE_SIGNAL": "SIGTERM"}
    options = ["data.num_workers=1", "checkpoint.every_minutes=null"]
    done = start(["setsid", "--wait", *command], tmp_path, *options, DIE_GROUP="yes", DIE_SLOW="3", **mark)
    assert done.returncode == code, done.stderr
    assert "after update 4; resume with --resume" in done.stderr
    assert "resumed after update 4" in run_here(tmp_path, "resume=auto")
    assert_equal_runs(single, tmp_path)


def test_two_nodes_on_loopback(single: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d"]
    command += [f"--rdzv_endpoint=127.0.0.1:{port}", "launch/main.py", *CONFIG, *OPTIONS, f"output_dir={tmp_path}"]
    agents = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    outputs = [agent.communicate(timeout=280)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert_equal_runs(single, tmp_path)


@pytest.mark.parametrize(
    "command", [[sys.executable, "launch/main.py", "--nproc", "2"], [*TORCHRUN, "--nproc_per_node=2", "launch/main.py"]]
)
def test_an_error_ends_all_processes(command: list[str], tmp_path: Path) -> None:
    done = start(command, tmp_path, "transformer.checkpoint=/no/such/file.pt")
    assert done.returncode != 0
    assert "error: transformer.checkpoint: /no/such/file.pt: no such file" in done.stderr


def test_fsdp_needs_processes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fsdp needs torchrun"):
        run_here(tmp_path, "distributed.strategy=fsdp")


def test_sigterm_to_torchrun_saves(single: Path, tmp_path: Path) -> None:
    command = [*TORCHRUN, "--nproc_per_node=2", "launch/main.py", *CONFIG, *OPTIONS, f"output_dir={tmp_path}"]
    agent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    for line in agent.stdout:
        if "update 3/6" in line:  # the first task's end, so two more updates at least are to come
            agent.send_signal(signal.SIGTERM)
            break
    _, errors = agent.communicate(timeout=280)
    assert "resume with --resume" in errors
    assert "resumed after update" in run_here(tmp_path, "resume=auto")
    assert_equal_runs(single, tmp_path)
