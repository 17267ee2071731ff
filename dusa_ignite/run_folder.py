"""The folder a run writes to: never overwritten silently."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import ConfigError

CONFIG, RESULTS, SUMMARY, RUN, LOG, UPDATES, PREDICTIONS = (
    "config.yaml",
    "results.csv",
    "summary.json",  # written last: it marks a finished run
    "run.json",
    "log.txt",
    "metrics.jsonl",
    "predictions.csv",
)
STREAM_PLOT, TASKS_PLOT = "accuracy_stream.png", "accuracy_tasks.png"
OUTPUTS = (CONFIG, RESULTS, SUMMARY, RUN, LOG, UPDATES, PREDICTIONS, STREAM_PLOT, TASKS_PLOT)
CHECKPOINTS, EXPORTS = "checkpoints", "export"  # folders within
FREE_TO_CHANGE = (  # on resuming: no effect on results, but for the last digits of sums taken in another order
    "name",
    "output_dir",
    "resume",
    "export",
    "checkpoint",
    "distributed.timeout_minutes",
    "run.log_every_seconds",
    "run.num_threads",
    "data.micro_batch_size",
    "data.num_workers",
    "data.on_error",  # a run that an unreadable image stopped goes on without it
    "tracking",
)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise if the folder already holds a run's outputs, unless they may be overwritten.

    Raises:
        ConfigError: it does; the message says what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; choose another name=... or output_dir=...")
    if not overwrite and any((folder / name).exists() for name in OUTPUTS):
        state = "a finished run" if is_finished(folder) else "a run that has not finished (--resume goes on with it)"
        raise ConfigError(f"{folder}: holds {state}; choose another name=..., or give --overwrite to replace it")


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that came to its end."""
    return (folder / SUMMARY).exists()


def is_unfinished(folder: Path) -> bool:
    """Whether the folder holds a run that was cut off."""
    return (folder / CONFIG).exists() and not is_finished(folder)


def check_same_config(folder: Path, config: Config) -> None:
    """Raise if the run in the folder was started with options that change results.

    Raises:
        ConfigError: they differ; the message lists the keys and both values.
    """
    before = _flat(load_config(folder / CONFIG).model_dump(mode="json"))
    now = _flat(config.model_dump(mode="json"))
    differing = [
        f"{key}: {before.get(key)!r} before, {now.get(key)!r} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not any(f"{key}.".startswith(f"{free}.") for free in FREE_TO_CHANGE)
    ]
    if differing:
        raise ConfigError(f"{folder}: cannot go on with another config; {'; '.join(differing)}")


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    return {k: v for key, item in content.items() for k, v in _flat(item, f"{prefix}.{key}" if prefix else key).items()}


def create(folder: Path) -> None:
    """Make the folder, and remove the outputs of an earlier run; other files in it stay.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in OUTPUTS:
            (folder / name).unlink(missing_ok=True)
        for pattern in (f"{CHECKPOINTS}/checkpoint_*.pt*", f"{EXPORTS}/*.safetensors*"):
            for file in folder.glob(pattern):
                file.unlink()
        (folder / LOG).touch()  # an existing folder may be read-only
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written to ({error.strerror}); choose another output_dir=..."
        ) from error


class _Console(logging.StreamHandler):
    """Writes above a progress bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def log_to(folder: Path | None) -> None:
    """Send the package's log messages to standard output, and with a folder to its ``log.txt`` too."""
    logger = logging.getLogger("dusa_ignite")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    console = _Console(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(console)
    if folder is not None:
        file = logging.FileHandler(folder / LOG)
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(file)
    logging.getLogger("ignite").setLevel(logging.CRITICAL)  # it announces exceptions that we raise and report ourselves
