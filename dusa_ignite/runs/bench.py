"""What an update and a checkpoint cost, measured on random images."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.engine import Batch
from dusa_ignite.handlers import AtomicSaver
from dusa_ignite.runs import assemble, assemble_models
from dusa_ignite.runs.memory_check import check_memory, explained
from dusa_ignite.runs.provenance import hardware, peak_memory_bytes


def random_batch(count: int, *, pixels: int) -> Batch:
    """A batch of noise."""
    images = torch.randint(0, 256, (count, 3, pixels, pixels), dtype=torch.uint8)
    labels = torch.zeros(count, dtype=torch.int64)
    return {
        "images": images,
        "labels": labels,
        "index": torch.arange(count),
        "task": "noise",
        "first": True,
        "last": True,
        "unreadable": [],
    }


def seconds(action: Any) -> float:
    """How long an action takes, GPU work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    begun = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def measure(config: Config, *, updates: int, pixels: int, folder: Path | None) -> list[list[str]]:
    """Rows of what was measured.

    Raises:
        OutOfMemory: there is too little memory, by estimate or in fact.
    """
    memory = check_memory(config, refuse=config.run.memory_check, whole_run=False)
    with explained(config, whole_run=False):
        rows = rows_of(config, updates=updates, pixels=pixels, folder=folder)
    estimates = [[f"estimate, {need.where}", f"{need.total / 2**30:.2f} GiB"] for need in memory.needs[:1]]
    return [*rows[:-1], *estimates, rows[-1]]


def rows_of(config: Config, *, updates: int, pixels: int, folder: Path | None) -> list[list[str]]:
    """The same, without a check of memory."""
    assemble.set_up(config)
    classifier, guide = assemble_models.classifier_of(config), assemble_models.guide_of(config)
    optimizer = assemble_models.optimizer_of(config, classifier, guide)
    method = assemble_models.method_of(config, classifier, guide, optimizer)
    monitor = assemble_models.monitor_of(config, classifier)
    batch = random_batch(config.data.batch_size, pixels=pixels)
    first = seconds(lambda: method(None, batch))
    times = sorted(seconds(lambda: method(None, batch)) for _ in range(updates))
    trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"]) if optimizer else 0
    rows = [
        ["trained parameters", f"{trained / 1e6:.1f} M"],
        ["first update", f"{first:.3f} s"],
    ]
    if times:
        median = times[len(times) // 2]
        rows.append(["median update", f"{median:.3f} s, {config.data.batch_size / median:.2f} images/s"])
        rows.append(["slowest update", f"{times[-1]:.3f} s"])
        if monitor:
            looked = sorted(seconds(lambda: monitor.source_logits(batch)) for _ in range(updates))[updates // 2]
            rows.append(["monitor, on top of it", f"{looked:.3f} s, {looked / median:.1%} of an update"])
    rows += [[f"peak memory, {where}", f"{size / 2**30:.2f} GiB"] for where, size in peak_memory_bytes().items()]
    if folder is not None:
        things = {"classifier": classifier, "transformer": guide and guide.transformer, "optimizer": optimizer}
        rows += checkpoint_rows(
            {name: thing for name, thing in things.items() if thing is not None},
            folder,
            background=config.checkpoint.background is not False,
        )
    machine = hardware()
    where = f"{machine['cpu_cores']} cores, {', '.join(machine['gpus']) or 'no GPU'}, {idist.device()}"
    return [*rows, ["machine", where]]


def checkpoint_rows(things: dict[str, Any], folder: Path, *, background: bool) -> list[list[str]]:
    """The cost of a full checkpoint, and for how long the next update waits for it."""
    content = {name: thing.state_dict() for name, thing in things.items()}
    with tempfile.TemporaryDirectory(dir=folder) as scratch, AtomicSaver(Path(scratch), keep=1) as saver:
        written = seconds(lambda: saver(content, "checkpoint_1.pt"))
        size = (Path(scratch) / "checkpoint_1.pt").stat().st_size
    rows = [["checkpoint", f"{size / 2**30:.2f} GiB"], ["update waits: written and synced", f"{written:.1f} s"]]
    if background:
        with (
            tempfile.TemporaryDirectory(dir=folder) as scratch,
            AtomicSaver(Path(scratch), keep=1, background=True) as saver,
        ):
            copied = seconds(lambda: saver(content, "checkpoint_1.pt"))
            rest = seconds(saver.wait)
        rows.append(
            ["update waits: copied, in the background", f"{copied:.1f} s (on disk after {copied + rest:.1f} s)"]
        )
    return rows
