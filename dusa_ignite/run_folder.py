"""The folder a run writes to: never overwritten silently."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from dusa_ignite.errors import ConfigError

CONFIG, RESULTS, SUMMARY, RUN, LOG, UPDATES = (
    "config.yaml",
    "results.csv",
    "summary.json",  # written last: it marks a finished run
    "run.json",
    "log.txt",
    "metrics.jsonl",
)
STREAM_PLOT, TASKS_PLOT = "accuracy_stream.png", "accuracy_tasks.png"
OUTPUTS = (CONFIG, RESULTS, SUMMARY, RUN, LOG, UPDATES, STREAM_PLOT, TASKS_PLOT)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise if the folder already holds a run's outputs, unless they may be overwritten.

    Raises:
        ConfigError: it does; the message says what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; choose another name=... or output_dir=...")
    if not overwrite and any((folder / name).exists() for name in OUTPUTS):
        state = "a finished run" if (folder / SUMMARY).exists() else "a run that has not finished"
        raise ConfigError(f"{folder}: holds {state}; choose another name=..., or give --overwrite to replace it")


def create(folder: Path) -> None:
    """Make the folder, and remove the outputs of an earlier run; other files in it stay.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in OUTPUTS:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written to ({error.strerror}); choose another output_dir=..."
        ) from error


def log_to(folder: Path | None) -> None:
    """Send the package's log messages to standard output, and with a folder to its ``log.txt`` too."""
    logger = logging.getLogger("dusa_ignite")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(console)
    if folder is not None:
        file = logging.FileHandler(folder / LOG)
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(file)
    logging.getLogger("ignite").setLevel(logging.CRITICAL)  # it announces exceptions that we raise and report ourselves
    logging.getLogger("ignite.distributed.launcher.Parallel").disabled = True  # it has a handler and level of its own
