"""A check's look at the folder of a run: what the run would do there, and whether it has room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from dusa_ignite.errors import ConfigError
from dusa_ignite.handlers.atomic_saver import saved
from dusa_ignite.handlers.onnx_export import check_onnx
from dusa_ignite.handlers.tracking import check_tracking
from dusa_ignite.results import files
from dusa_ignite.runs import claim
from dusa_ignite.runs.assemble import description_of
from dusa_ignite.runs.check_report import Section
from dusa_ignite.runs.check_subject import Subject
from dusa_ignite.runs.folder import unwritable
from dusa_ignite.runs.lock import in_use
from dusa_ignite.utils.memory import readable


def output_section(subject: Subject) -> Section:
    """Whether the run begins, goes on or is refused; disk space; and whether it can be tracked."""
    folder = Path(subject.config.output_dir) / subject.config.name
    section = Section("output", facts={"folder": str(folder)})
    with section.collecting():
        start = claim.start_mode(folder, subject.config, overwrite=subject.overwrite)
        section.facts["start"] = start
        section.lines.append(_what_happens(folder, start))
        if start == "unfinished":
            _check_origins(folder, subject)
    with section.collecting():
        if in_use(folder):
            raise ConfigError(f"{folder}: is being written to by another process; wait for it, or stop it")
        _check_writable(folder)
        _check_room(section, folder, subject)
    with section.collecting():
        check_tracking(**subject.options.tracking)
    if subject.options.export == "onnx":
        with section.collecting():
            check_onnx()
    return section


def _what_happens(folder: Path, start: claim.Start) -> str:
    if start == "finished":
        return f"{folder}: holds this run, finished; nothing is left to do"
    if start == "unfinished":
        newest = next((path.name for path in saved(folder / files.CHECKPOINTS)), None)
        return f"{folder}: the run goes on from {newest}" if newest else f"{folder}: holds no checkpoint; begins again"
    if any((folder / name).exists() for name in files.OUTPUTS):
        return f"{folder}: the outputs of an earlier run are replaced"
    return f"{folder}: a new run"


def _check_origins(folder: Path, subject: Subject) -> None:
    """Raise if a resumed run was begun with other weights or data, as far as they are known."""
    if subject.found and subject.classifier and saved(folder / files.CHECKPOINTS):
        now = description_of(subject.config, subject.found, subject.classifier, subject.guide)
        claim.check_same_origins(folder, now)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _check_writable(folder: Path) -> None:
    existing = _existing(folder)
    if not existing.is_dir():
        raise ConfigError(f"{existing}: is a file; choose another name=... or output_dir=...")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(f"{existing} is read-only"))


def _check_room(section: Section, folder: Path, subject: Subject) -> None:
    """Compare what checkpoints and exports take with what is free.

    Raises:
        ConfigError: they take more.
    """
    if not subject.stateful:
        section.lines.append("the size of checkpoints is not known, as the models are not")
        return
    checkpoint = checkpoint_bytes(subject.stateful)
    copies = {None: 0, "classifier": 1, "onnx": 2}[subject.options.export]  # of every task's classifier
    exports = copies * len(subject.tasks) * state_bytes(subject.stateful["classifier"].state_dict()) if copies else 0
    needed = (subject.options.keep + 1) * checkpoint + exports  # a new one is complete before the oldest goes
    free = shutil.disk_usage(_existing(folder)).free
    section.facts |= {"checkpoint_bytes": checkpoint, "needed_bytes": needed, "free_bytes": free}
    kept = f"{subject.options.keep + 1} checkpoints of {readable(checkpoint)}" + (" and exports" if exports else "")
    section.lines.append(f"takes up to {readable(needed)} ({kept}); {readable(free)} are free")
    if needed > free:
        raise ConfigError(
            f"output_dir: {readable(needed)} are needed, and {readable(free)} are free at {_existing(folder)}; make "
            "room, choose another output_dir=..., or lower checkpoint.keep"
        )


def checkpoint_bytes(stateful: Mapping[str, Any]) -> int:
    """About how many bytes a full checkpoint takes once the optimizer has its moments.

    Args:
        stateful: everything that an update changes, by name, see
            :func:`dusa_ignite.runs.learning.stateful_of`.
    """
    size = sum(state_bytes(thing.state_dict()) for name, thing in stateful.items() if name != "optimizer")
    for group in stateful["optimizer"].param_groups if "optimizer" in stateful else ():
        moments = 2 if "betas" in group else int(bool(group.get("momentum")))
        size += moments * state_bytes(list(group["params"]))
    return size


def state_bytes(state: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        state = state.values()
    elif isinstance(state, str) or not isinstance(state, Iterable):
        return 0
    return sum(state_bytes(value) for value in state)
