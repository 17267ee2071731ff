"""The folder a run writes to: never overwritten silently."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dusa_ignite.config import Config, load_config, to_yaml
from dusa_ignite.errors import ConfigError
from dusa_ignite.results.files import CHECKPOINTS, CONFIG, EXPORTS, LOG, OUTPUTS, RESULTS, SUMMARY
from dusa_ignite.utils.console import outlive_the_console
from dusa_ignite.utils.durable import write_text

# When a run is resumed: no effect on results, but for the last digits of sums taken in another order
FREE_TO_CHANGE = (
    "name",
    "output_dir",
    "resume",
    "export",
    "checkpoint",
    "distributed.timeout_minutes",
    "run.log_every_seconds",
    "run.memory_check",
    "run.num_threads",
    "data.micro_batch_size",
    "data.num_workers",
    "data.on_error",  # a run that an unreadable image stopped goes on without it
    "data.clean_root",  # clean images are looked at before the first update, and change nothing
    "data.clean_images",
    "data.clean_minimum",
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
        state = "a finished run" if is_finished(folder) else "a run that has not finished (--resume resumes it)"
        raise ConfigError(f"{folder}: holds {state}; choose another name=..., or give --overwrite to replace it")


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that came to its end."""
    return (folder / SUMMARY).exists()


def is_worthless(folder: Path) -> bool:
    """Whether nothing is lost with the folder's content: no config that can be read, no checkpoint, no result."""
    kept = (RESULTS, SUMMARY, f"{CHECKPOINTS}/checkpoint_*.pt", f"{EXPORTS}/*.safetensors")
    if any(any(folder.glob(pattern)) for pattern in kept):
        return False
    try:
        load_config(folder / CONFIG)
    except ConfigError:
        return True  # none was written, or not to its end
    return False


def check_same_config(folder: Path, config: Config) -> None:
    """Raise if the run in the folder was started with options that change results.

    Raises:
        ConfigError: they differ, and the message lists the keys and both values; or the options are not known any more.
    """
    try:
        before = flat(load_config(folder / CONFIG).model_dump(mode="json"))
    except ConfigError as error:
        raise ConfigError(f"{error}; put the run's config back, or give --overwrite to start again") from error
    refuse_differences(folder, before, flat(config.model_dump(mode="json")), free_to_change=FREE_TO_CHANGE)


def refuse_differences(
    folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, free_to_change: Collection[str]
) -> None:
    """Raise if options differ, besides those that are free to change; both as :func:`flat` makes them.

    Raises:
        ConfigError: the message lists the keys and both values.
    """
    differing = [
        f"{key}: {before.get(key)!r} before, {now.get(key)!r} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not any(f"{key}.".startswith(f"{free}.") for free in free_to_change)
    ]
    if differing:
        raise ConfigError(f"{folder}: cannot go on with another config; {'; '.join(differing)}")


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(content, dict):
        return {prefix: content}
    return {k: v for key, item in content.items() for k, v in flat(item, f"{prefix}.{key}" if prefix else key).items()}


def create(folder: Path, config: Config) -> None:
    """Make the folder, write the config, and remove the outputs of an earlier run; other files in it stay.

    Whenever this is cut off, the folder holds an earlier run that has finished, or one without a checkpoint.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove(folder, f"{CHECKPOINTS}/checkpoint_*.pt*")
        (folder / SUMMARY).unlink(missing_ok=True)
        write_text(folder / CONFIG, to_yaml(config))
        for name in OUTPUTS:
            if name != CONFIG:
                (folder / name).unlink(missing_ok=True)
            (folder / f"{name}.part").unlink(missing_ok=True)
        for pattern in ("*.safetensors*", "*/model.safetensors*", "*/model.onnx*", "*/config.json*"):
            _remove(folder, f"{EXPORTS}/{pattern}")
        (folder / LOG).touch()  # an existing folder may be read-only
    except OSError as error:
        raise unwritable(folder, error) from error


def _remove(folder: Path, pattern: str) -> None:
    for file in folder.glob(pattern):
        file.unlink()


def unwritable(folder: Path, error: OSError) -> ConfigError:
    """What to say where the folder cannot be written to."""
    return ConfigError(f"{folder}: cannot be written to ({error.strerror or error}); choose another output_dir=...")


class _Console(logging.StreamHandler):
    """Writes above a progress bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


class _LogFile(logging.FileHandler):
    """A full disk costs its lines only."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Tell nobody: the console has the line."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def log_to(folder: Path | None) -> None:
    """Send the package's log messages to standard output, as long as that takes them, and with a folder to its
    ``log.txt`` too.
    """
    outlive_the_console()
    logger = logging.getLogger("dusa_ignite")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        with suppress(OSError):  # the last lines may not fit on the disk
            handler.close()
    console = _Console(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(console)
    if folder is not None:
        file = _LogFile(folder / LOG, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(file)
    logging.getLogger("ignite").setLevel(logging.CRITICAL)  # it announces exceptions that we raise and report ourselves
