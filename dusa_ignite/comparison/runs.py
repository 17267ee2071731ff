"""Computing the planned runs, each in a process of its own, one after the other.

One at a time, so that images per second can be compared. A process of its own, so that the peak memory of one run is
not that of the largest before it. The processes are forked from a server that has imported everything and computed
nothing (the ``forkserver`` of :mod:`multiprocessing`), which saves each of them the seconds that importing torch takes.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType

from dusa_ignite.comparison.plan import PlannedRun
from dusa_ignite.comparison.time_left import TimeLeft
from dusa_ignite.config import Config
from dusa_ignite.errors import INTERRUPTED, STOP_SIGNALS, USER_ERROR, Interrupted, UserError
from dusa_ignite.results.files import LOG
from dusa_ignite.runs.folder import is_finished
from dusa_ignite.utils.durations import duration

logger = logging.getLogger(__name__)

PRELOADED = ["dusa_ignite.runs.adapt", "dusa_ignite.data.digits", "sklearn.datasets"]


def run_all(runs: Sequence[PlannedRun], *, overwrite: bool = False, past_failures: bool = False) -> int:
    """Compute what is not finished yet; what was cut off goes on where it was.

    Args:
        runs: their configs say ``resume=auto``.
        overwrite: compute all of them anew.
        past_failures: go on behind a run that failed for a reason it could name, such as updates that are not finite.

    Returns:
        An exit code: 0 = all are finished, or failed and passed; 75 = a signal came, the run at hand was saved; else
        that of the run that failed, which has said why on standard error. The runs behind it are not started.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    waiting = [run for run in runs if overwrite or not is_finished(run.folder)]
    if len(waiting) < len(runs):
        logger.info("%d of %d runs are finished already", len(runs) - len(waiting), len(runs))
    started, time_left = time.monotonic(), TimeLeft()
    for number, run in enumerate(waiting, start=1):
        logger.info("[%d/%d] %s, seed %d (%s)", number, len(waiting), run.label, run.seed, run.folder / LOG)
        begun = time.monotonic()
        process = context.Process(target=adapt_quietly, args=(run.config, overwrite))
        with forwarding(process) as received:
            process.start()
            if received():  # too early to be passed on
                process.terminate()
            process.join()
        code = process.exitcode
        if received() or code == INTERRUPTED:
            logger.info("stopped in %s, seed %d; the same command goes on from there", run.label, run.seed)
            return INTERRUPTED
        if code != 0:
            logger.info("%s, seed %d failed; the same command tries it again", run.label, run.seed)
            if past_failures and code == USER_ERROR:
                continue
            return code if code and code > 0 else 1
        now = time.monotonic()
        time_left.add(run.label, now - begun)
        ahead = time_left.estimate([other.label for other in waiting[number:]])
        left = f"; {duration(now - started)} so far, about {duration(ahead)} left" if ahead else ""
        logger.info("        %s%s", duration(now - begun), left)
    return 0


@contextmanager
def forwarding(process: BaseProcess) -> Iterator[Callable[[], bool]]:
    """Pass signals on to a process that is not in the terminal's group; yields whether there has been one."""
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if process.pid is not None:
            process.terminate()

    before = {number: signal.signal(number, forward) for number in STOP_SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def adapt_quietly(config: Config, overwrite: bool) -> None:
    """One run, in this process, whose messages go to its log file only; leaves with the run's exit code."""
    os.setpgid(0, 0)  # Ctrl-C reaches the comparison alone, which passes it on once; a second signal would kill
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from dusa_ignite.runs.adapt import adapt

    try:
        adapt(0, config, overwrite)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(INTERRUPTED)


def _end_with_parent() -> None:
    """Save and stop when the comparison is killed, before somebody starts it again and two write to one folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
