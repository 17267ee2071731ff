"""Starting a ClearML task in a process that goes on being the run's own.

By default ClearML watches the command line, standard output and matplotlib, takes over signals, forks a reporting
process, follows data loader workers, and waits for its server when the process ends. Here it does none of it.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ignite.handlers.clearml_logger import ClearMLLogger

from dusa_ignite.handlers.clearml_private import do_not_follow_forks, do_not_fork

START_SECONDS = 60.0  # to make the task, or to find it again


def start_task(
    *,
    project: str,
    task: str,
    tags: Sequence[str],
    task_id: str | None,
    parameters: Mapping[str, Any],
    monitor: bool,
    offline: bool,
) -> ClearMLLogger:
    """Make a task, or go on with one; arguments as for :class:`~dusa_ignite.handlers.clearml_session.ClearMLSession`.

    Returns:
        Ignite's logger, which holds the task.

    Raises:
        TimeoutError: there is none within ``START_SECONDS``.
        Exception: whatever ClearML raises where the server does not take the task.
    """
    options = {
        "project_name": project,
        "task_name": task,
        "tags": list(tags),
        "reuse_last_task_id": task_id or False,
        "continue_last_task": 0 if task_id else False,  # 0: the run itself counts its updates on
        "auto_connect_arg_parser": False,
        "auto_connect_frameworks": False,
        "auto_connect_streams": False,
        "auto_resource_monitoring": monitor,
    }
    return _in_thread(lambda: _start(options, parameters, offline=offline))


def _start(options: dict[str, Any], parameters: Mapping[str, Any], *, offline: bool) -> ClearMLLogger:
    do_not_fork()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ignite warns of what was asked for
        ClearMLLogger.set_bypass_mode(offline)  # or the variable CI would decide
        started = ClearMLLogger(**options)
    do_not_follow_forks()
    task = started.get_task()
    if not offline and not task.output_uri:
        task.output_uri = True  # the server's own file store, where clearml.conf names no other
    task.connect(dict(parameters), name="config", ignore_remote_overrides=True)
    return started


def _in_thread(function: Callable[[], Any]) -> Any:
    """What the function returns or raises; in a thread of its own, where Python lets nobody replace signal handlers."""
    outcome: dict[str, Any] = {}

    def call() -> None:
        try:
            outcome["value"] = function()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=call, name="clearml-start", daemon=True)
    thread.start()
    thread.join(START_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"none within {START_SECONDS:g} s")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]
