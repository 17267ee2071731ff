"""Starting a run in one process or many, and turning how it ends into an exit code."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn

import ignite.distributed as idist
import torch
from torch import distributed as dist
from torch.multiprocessing import ProcessExitedException

from dusa_ignite.distributed.rendezvous import torchrun_store
from dusa_ignite.errors import INTERRUPTED, STOP_SIGNALS, USER_ERROR, ConfigError, Interrupted, StoppedEarly, UserError

PROCESSES_PER_CORE = 4  # at most; each holds the models, so many more bring a machine down
LAST_BARRIER_TIMEOUT = timedelta(hours=2)  # for a process that still writes or uploads while the others are done


def launch(function: Callable[..., None], *arguments: Any, nproc: int = 1, timeout: float = 10.0) -> int:
    """Call ``function(local_rank, *arguments)`` through Ignite's ``Parallel``, in every process there is to be.

    Under torchrun this process is one of them; else ``nproc`` are started here. The backend is nccl with GPUs, gloo
    without.

    Args:
        function: an importable function.
        nproc: processes to start; 1 under torchrun.
        timeout: minutes after which a process that waits for the others fails.

    Returns:
        The exit code: 0; 2 where something the user gave cannot be used; 75 where a signal stopped the run. Under
        torchrun it does not return but ends the process with that code, 1 for any other exception.
    """
    logging.getLogger("ignite.distributed.launcher.Parallel").disabled = True  # it has a handler and level of its own
    os.environ.pop("SLURM_JOB_ID", None)  # or Ignite takes ranks from Slurm, which knows of no process started here
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    limit = timedelta(minutes=timeout)
    if "LOCAL_RANK" in os.environ:
        try:
            exit_now(reporting(_join, function, arguments, backend=backend, nproc=nproc, limit=limit))
        except Exception:
            traceback.print_exc()
            exit_now(1)
    if nproc > 1:
        return reporting(_spawn, function, arguments, backend=backend, nproc=nproc, limit=limit)
    stop_on_signals()
    with idist.Parallel() as parallel:
        return reporting(parallel.run, function, *arguments)


def stop_on_signals() -> None:
    """Until the run itself takes the signals over, the first one ends this process cleanly."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise StoppedEarly("stopped by a signal before the first update")

    for each in STOP_SIGNALS:
        signal.signal(each, stop)


def reporting(function: Callable[..., int | None], *arguments: Any, **options: Any) -> int:
    """Call a function; an error that the user can mend becomes a line on standard error and an exit code."""
    try:
        return function(*arguments, **options) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except (Interrupted, StoppedEarly) as stop:
        print(f"{stop}; resume with --resume", file=sys.stderr)
        return INTERRUPTED


def _join(function: Callable[..., None], arguments: tuple, *, backend: str, nproc: int, limit: timedelta) -> None:
    """Be one of torchrun's processes."""
    if nproc > 1:
        raise ConfigError("--nproc: torchrun starts the processes already; leave it out")
    stop_on_signals()
    local_rank, rank, world_size = (_set_by_torchrun(name) for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"))
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise ConfigError(f"LOCAL_RANK={local_rank}: torchrun started more processes than the GPUs here")
        torch.cuda.set_device(local_rank)
    store = torchrun_store(limit)  # without one: MASTER_ADDR and MASTER_PORT
    dist.init_process_group(backend, timeout=limit, store=store, rank=rank, world_size=world_size)
    idist.sync()
    with idist.Parallel() as parallel:
        parallel.run(_run_then_wait, function, *arguments)
    idist.finalize()


def _set_by_torchrun(name: str) -> int:
    text = os.environ.get(name, "")
    if not re.fullmatch("[0-9]{1,6}", text):
        raise ConfigError(f"{name}={text[:80]!r}: torchrun sets it to an integer; start with it, or unset LOCAL_RANK")
    return int(text)


def _spawn(function: Callable[..., None], arguments: tuple, *, backend: str, nproc: int, limit: timedelta) -> int:
    """Start processes on this machine, pass signals on to them, and wait for them."""
    if backend == "nccl" and nproc > torch.cuda.device_count():
        raise ConfigError(f"--nproc: {nproc} processes need as many GPUs; there are {torch.cuda.device_count()}")
    most = PROCESSES_PER_CORE * len(os.sched_getaffinity(0))
    if nproc > most:
        raise ConfigError(f"--nproc: {nproc} processes are too many for this machine's cores; allowed: 1 .. {most}")
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, number)

    for each in STOP_SIGNALS:
        signal.signal(each, pass_on)
    try:
        with TemporaryDirectory() as folder:  # a file to meet at: a port might be taken
            init_file = f"file://{folder}/processes"
            with idist.Parallel(backend, nproc_per_node=nproc, init_method=init_file, timeout=limit) as parallel:
                parallel.run(_child, function, *arguments)
    except ProcessExitedException as error:
        return INTERRUPTED if received else error.exit_code
    return 0


def _child(local_rank: int, function: Callable[..., None], *arguments: Any) -> None:
    """Run in a process that was started here; it tells its parent by its exit code."""
    stop_on_signals()
    code = reporting(_run_then_wait, local_rank, function, *arguments)
    if code == 0:
        idist.finalize()
    exit_now(code)


def _run_then_wait(local_rank: int, function: Callable[..., None], *arguments: Any) -> None:
    """Run; whoever is done waits for those that still write, since the first exit is taken for the end of all."""
    last_group = dist.new_group(backend="gloo", timeout=LAST_BARRIER_TIMEOUT)
    try:
        function(local_rank, *arguments)
    except Interrupted:
        _wait_for_all(last_group)
        raise
    _wait_for_all(last_group)


def _wait_for_all(group: Any) -> None:
    with contextlib.suppress(RuntimeError):  # one of them has died; this one is done all the same
        dist.barrier(group)


def exit_now(code: int) -> NoReturn:
    """End one of several processes at once, without tearing the interpreter down.

    Torch caches device meshes, so gloo's threads outlive the process group; one that gives back a tensor while the
    interpreter is being torn down aborts the process, and a run that has come to its end would count as failed.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):  # nobody reads it any more, or it was closed at the start
            stream.flush()
    os._exit(code)
