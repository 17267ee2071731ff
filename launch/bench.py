"""What an update and a checkpoint cost: ``python launch/bench.py --config FILE [section.key=value ...]``.

Updates run on random images, so no data set is needed; weights may be ``random``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import report_errors
from dusa_ignite.results.rows import text_table
from dusa_ignite.runs import build, build_method
from dusa_ignite.runs.checkpoints import AtomicSaver
from dusa_ignite.runs.provenance import hardware, peak_memory_bytes


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the cost of an update and of a checkpoint.")
    parser.add_argument("--config", required=True, help="YAML file, see configs/")
    parser.add_argument("--updates", type=int, default=5, help="timed updates, after one that is not")
    parser.add_argument("--pixels", type=int, default=224, help="side of the random images")
    parser.add_argument(
        "--folder",
        type=Path,
        help="also write a checkpoint there, into a temporary folder; and one in the background, which takes "
        "as much host memory, unless checkpoint.background=false",
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="change options of the config")
    return parser.parse_intermixed_args(arguments)


def random_batch(config: Config, *, pixels: int) -> dict[str, Any]:
    """A batch of noise."""
    count = config.data.batch_size
    images = torch.randint(0, 256, (count, 3, pixels, pixels), dtype=torch.uint8)
    labels = torch.zeros(count, dtype=torch.int64)
    return {
        "images": images,
        "labels": labels,
        "index": torch.arange(count),
        "task": "noise",
        "first": True,
        "last": True,
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
    """Rows of what was measured."""
    build.set_up_torch(config)
    classifier = build.classifier(config)
    guide = build.guide(config) if config.is_guided else None
    optimizer = build_method.optimizer(config, classifier, guide)
    memory = build_method.memory(config, classifier)
    update = build_method.update(config, classifier, guide, optimizer, memory=memory)
    batch = random_batch(config, pixels=pixels)
    first = seconds(lambda: update(None, batch))  # type: ignore[arg-type]
    times = sorted(seconds(lambda: update(None, batch)) for _ in range(updates))  # type: ignore[arg-type]
    trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"]) if optimizer else 0
    rows = [
        ["trained parameters", f"{trained / 1e6:.1f} M"],
        ["first update", f"{first:.3f} s"],
    ]
    if times:
        median = times[len(times) // 2]
        rows.append(["median update", f"{median:.3f} s, {config.data.batch_size / median:.2f} images/s"])
        rows.append(["slowest update", f"{times[-1]:.3f} s"])
    rows += [[f"peak memory, {where}", f"{size / 2**30:.2f} GiB"] for where, size in peak_memory_bytes().items()]
    if folder is not None:
        things = {"classifier": classifier, "transformer": guide and guide.transformer, "optimizer": optimizer}
        rows += checkpoint_rows(
            {name: thing for name, thing in things.items() if thing is not None},
            folder,
            background=config.checkpoint.background is not False,
        )
    return rows


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


@report_errors
def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code is 2 where something given cannot be used."""
    options = parse(arguments)
    config = load_config(options.config, options.overrides)
    rows = measure(config, updates=options.updates, pixels=options.pixels, folder=options.folder)
    machine = hardware()
    rows.append(
        ["machine", f"{machine['cpu_cores']} cores, {', '.join(machine['gpus']) or 'no GPU'}, {idist.device()}"]
    )
    print(text_table([f"{config.name}, {config.method.name}", ""], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
