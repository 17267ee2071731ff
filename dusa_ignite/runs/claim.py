"""How a run starts: anew, where an earlier one was cut off, or not at all. The first process decides for all."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import ignite.distributed as idist
from ignite.handlers import Checkpoint

from dusa_ignite.config import Config
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.handlers.atomic_saver import saved
from dusa_ignite.results import files
from dusa_ignite.results.rows import write_json
from dusa_ignite.runs import folder as run_folder
from dusa_ignite.runs.checkpoints import find_newest, load
from dusa_ignite.runs.lock import RunLock
from dusa_ignite.runs.provenance import launch_id
from dusa_ignite.utils.format import FORMAT_VERSION, why_not

logger = logging.getLogger(__name__)

State = dict[str, Any]
Start = Literal["new", "unfinished", "finished"]


@contextmanager
def claim(folder: Path, config: Config, *, overwrite: bool) -> Iterator[Start]:
    """Keep the folder to this run as long as the context lasts; it says how the run is to start.

    Raises:
        ConfigError: the folder holds another run, is in use, or cannot be written to; the message says what to do.
    """
    lock = RunLock(folder)

    def take() -> Start:
        start = start_mode(folder, config, overwrite=overwrite)
        if start != "finished":
            lock.acquire()
            start = start_mode(folder, config, overwrite=overwrite)  # the process before may have finished it
        if start == "finished":
            logger.info("%s: finished already", folder)
        return start

    try:
        yield on_rank_zero(take)
    finally:
        lock.release()


def start_mode(folder: Path, config: Config, *, overwrite: bool) -> Start:
    """Whether the folder is free, or holds this very run, cut off or finished. Nothing in it is changed.

    When torchrun restarts processes, they go on with what they have begun, whatever they were first told.

    Raises:
        ConfigError: it holds a run that may not be replaced or gone on with.
    """
    if not restarted(folder) and (overwrite or config.resume == "never"):
        run_folder.check_free(folder, overwrite=overwrite)
        return "new"
    if run_folder.is_worthless(folder):
        run_folder.check_free(folder, overwrite=True)
        return "new"
    check_format(folder)
    run_folder.check_same_config(folder, config)
    return "finished" if run_folder.is_finished(folder) else "unfinished"


def check_format(folder: Path) -> None:
    """Raise if the run in the folder was written by a version of this package that wrote something else.

    Raises:
        ConfigError: it was; the message says so in a line.
    """
    if (folder / files.RUN).exists():
        found = read_description(folder).get("format_version", 1)
        if found != FORMAT_VERSION:
            raise ConfigError(f"{folder}: {why_not(found)}")


def restarted(folder: Path) -> bool:
    """Whether torchrun has restarted this process, and an earlier attempt of the same launch has begun the run."""
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) == 0:
        return False
    try:
        before = read_description(folder)
    except CheckpointError:
        return False
    return launch_id() in [start.get("launch") for start in (before, *before.get("resumed", []))]


def load_checkpoint(folder: Path, description: Mapping[str, Any]) -> dict[str, Any] | None:
    """The newest undamaged checkpoint, if there is one; the first process alone searches for it and checks it.

    Args:
        folder: of the run.
        description: of this start, see :func:`dusa_ignite.runs.provenance.describe_run`; the first process's counts.

    Raises:
        CheckpointError: the run was started with other weights or data, or there is no checkpoint that can be read.
    """
    found: list[dict[str, Any] | None] = []

    def find() -> Path | None:
        if saved(folder / files.CHECKPOINTS):
            check_same_origins(folder, description)
        path, content = find_newest(folder / files.CHECKPOINTS, set_aside=True)
        if path is None:
            logger.info("%s: holds no checkpoint; the run begins again", folder)
        found.append(content)
        return path

    path = on_rank_zero(find)
    if found or path is None:
        return found[0] if found else None
    return load(path, mapped=idist.device().type != "cpu")  # on the CPU, tensors may be used where they lie


def check_same_origins(folder: Path, now: Mapping[str, Any]) -> None:
    """Raise if the run was started with other weights, data or precision; warn of other code or another device.

    Raises:
        CheckpointError: the message names what differs.
    """
    before = read_description(folder)
    differing = [
        f"{meaning} of {name}"
        for key, meaning in (
            ("weights_sha256", "the weights"),
            ("data_fingerprints", "the data"),
            ("own_parts", "the file"),
            ("view", "the classifier's view"),
        )
        for name in sorted(before.get(key, now.get(key, {})).keys() | now.get(key, {}).keys())
        if before.get(key, now.get(key, {})).get(name) != now.get(key, {}).get(name)
    ]
    dtype = before.get("compute_dtype", now["compute_dtype"])
    if dtype != now["compute_dtype"]:
        differing.append(f"the precision ({dtype} before, {now['compute_dtype']} now)")
    if differing:
        raise CheckpointError(
            f"{folder}: cannot go on, this is not what the run began with: {', '.join(differing)}; "
            f"put it back, or start again with --overwrite"
        )
    for what, was, is_now in (
        ("torch", before.get("versions", {}).get("torch"), now["versions"]["torch"]),
        ("git commit", before.get("git_commit"), now["git_commit"]),
        ("device", before.get("device", now["device"]), now["device"]),
    ):
        if was != is_now:
            logger.warning("%s: %s %s before, %s now; results may differ", folder, what, was, is_now)


def read_description(folder: Path) -> dict[str, Any]:
    """What a run's ``run.json`` says.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    path = folder / files.RUN
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: missing or unreadable, so the run cannot go on; start again with --overwrite"
        ) from error


def recorded_micro_batch_size(folder: Path) -> int | None:
    """The micro-batch size that a run began with, given or found; ``None`` = nothing says so.

    Raises:
        CheckpointError: ``run.json`` cannot be read.
    """
    return read_description(folder).get("micro_batch_size") if (folder / files.RUN).exists() else None


def start_folder(folder: Path, config: Config, description: Mapping[str, Any], *, new: bool) -> None:
    """Make the folder ready to be written to, and say in it what is run.

    Raises:
        ConfigError: it cannot be written to.
    """
    try:
        if new:
            run_folder.create(folder, config)
            write_json(folder / files.RUN, description)
        else:
            before = read_description(folder)
            write_json(folder / files.RUN, {**before, "resumed": [*before.get("resumed", []), description]})
        run_folder.log_to(folder)
    except OSError as error:
        raise run_folder.unwritable(folder, error) from error


def restore(checkpoint: Mapping[str, Any], things: Mapping[str, Any]) -> None:
    """Load what a checkpoint holds; one from between two tasks lacks what the next task's reset restores."""
    Checkpoint.load_objects(to_load={name: things[name] for name in checkpoint}, checkpoint=checkpoint)
