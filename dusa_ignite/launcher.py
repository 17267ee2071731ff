"""Starting a run in one process or many, and turning how it ends into an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import ignite.distributed as idist
import torch
from torch.multiprocessing import ProcessExitedException

from dusa_ignite.errors import ConfigError, UserError
from dusa_ignite.handlers.checkpoint import Interrupted

USER_ERROR = 2
KILLED_BY_SIGINT = 130  # as shells have it
INTERRUPTED = 75  # sysexits.h EX_TEMPFAIL: stopped by a signal, saved, to be resumed


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
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    limit = timedelta(minutes=timeout)
    if "LOCAL_RANK" in os.environ:
        try:
            leave(reporting(_join, function, arguments, backend=backend, nproc=nproc, limit=limit))
        except Exception:
            traceback.print_exc()
            leave(1)
    if nproc > 1:
        return reporting(_spawn, function, arguments, backend=backend, nproc=nproc, limit=limit)
    with idist.Parallel() as parallel:
        return reporting(parallel.run, function, *arguments)


def reporting(function: Callable[..., int | None], *arguments: Any, **options: Any) -> int:
    """Call a function; an error that the user can mend becomes a line on standard error and an exit code."""
    try:
        return function(*arguments, **options) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except Interrupted as stop:
        print(f"{stop}; go on with --resume", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:  # while running, RunCheckpoint catches the signal
        print("stopped before the first update; what an earlier start has saved is there", file=sys.stderr)
        return KILLED_BY_SIGINT


def _join(function: Callable[..., None], arguments: tuple, *, backend: str, nproc: int, limit: timedelta) -> None:
    """Be one of torchrun's processes."""
    if nproc > 1:
        raise ConfigError("--nproc: torchrun starts the processes already; leave it out")
    idist.initialize(backend, timeout=limit)
    with idist.Parallel() as parallel:
        parallel.run(function, *arguments)
    idist.finalize()


def _spawn(function: Callable[..., None], arguments: tuple, *, backend: str, nproc: int, limit: timedelta) -> int:
    """Start processes on this machine and wait for them."""
    if backend == "nccl" and nproc > torch.cuda.device_count():
        raise ConfigError(f"--nproc: {nproc} processes need as many GPUs; there are {torch.cuda.device_count()}")
    try:
        with TemporaryDirectory() as folder:  # a file to meet at: a port might be taken
            meeting = f"file://{folder}/processes"
            with idist.Parallel(backend, nproc_per_node=nproc, init_method=meeting, timeout=limit) as parallel:
                parallel.run(_started, function, *arguments)
    except ProcessExitedException as error:
        return error.exit_code
    return 0


def _started(local_rank: int, function: Callable[..., None], *arguments: Any) -> None:
    """Run in a process that was started here; it tells its parent by its exit code."""
    code = reporting(function, local_rank, *arguments)
    if code == 0:
        idist.barrier()  # no process goes while another one still waits for it
        idist.finalize()
    leave(code)


def leave(code: int) -> NoReturn:
    """End one of several processes at once, without tearing the interpreter down.

    Torch caches device meshes, so gloo's threads outlive the process group; one that gives back a tensor while the
    interpreter is being torn down aborts the process, and a run that has come to its end would count as failed.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
