"""The life of a training of one's own guide or classifier: claim the folder, train or go on, finish."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.handlers import Checkpoint
from torch import nn

from dusa_ignite.config import read_config, to_yaml
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.errors import CheckpointError, ConfigError, UserError
from dusa_ignite.handlers.atomic_saver import saved
from dusa_ignite.handlers.tracking import check_tracking
from dusa_ignite.pretraining.own import files
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.pretraining.own.loop import train
from dusa_ignite.pretraining.own.make import make_subject
from dusa_ignite.pretraining.own.subject import Subject
from dusa_ignite.results.rows import write_json
from dusa_ignite.runs.checkpoints import find_newest, load
from dusa_ignite.runs.folder import flat, log_to, refuse_differences, unwritable
from dusa_ignite.runs.lock import RunLock
from dusa_ignite.utils.durable import write_text
from dusa_ignite.utils.format import FORMAT_VERSION, why_not

logger = logging.getLogger(__name__)

FREE_TO_CHANGE = (  # when a training is resumed: no effect on its weights
    "output_dir",
    "resume",
    "num_threads",
    "log_every_seconds",
    "timeout_minutes",
    "checkpoint",
    "tracking",
    "data.memory_gb",
    "vae.cache",
)


def pretrain(local_rank: int, config: OwnConfig, overwrite: bool = False) -> None:
    """One training, from the config to the weights in its folder; every process calls it.

    Args:
        local_rank: this process on its machine, as ``ignite.distributed.Parallel`` passes it.
        config: everything else.
        overwrite: replace the outputs of an earlier training.

    Raises:
        UserError: something in the config, the data or the weights cannot be used.
        Interrupted: a signal asked the training to stop; it has been saved.
    """
    log_to(None)
    if idist.get_rank() > 0:
        logging.getLogger("dusa_ignite").setLevel(logging.WARNING)
    if config.num_threads is not None:
        torch.set_num_threads(config.num_threads)
    folder = Path(config.output_dir)
    lock = RunLock(folder)
    try:
        start = on_rank_zero(lambda: _claim(lock, config, overwrite=overwrite))
        if start == "finished":
            return
        resumed = start == "unfinished"
        tracking = on_rank_zero(lambda: check_tracking(**config.tracking.model_dump(), resumed=resumed))
        subject = make_subject(config, folder)
        origins = {"format_version": FORMAT_VERSION, **subject.origins}
        checkpoint = _checkpoint(folder, origins) if resumed else None
        if checkpoint is None:
            on_rank_zero(lambda: _begin(folder, config, origins))
        on_rank_zero(lambda: log_to(folder))
        _train(subject, config, folder, checkpoint, tracking)
    finally:
        lock.release()
    on_rank_zero(lambda: log_to(None))


def _claim(lock: RunLock, config: OwnConfig, *, overwrite: bool) -> str:
    """``new``, ``unfinished`` or ``finished``; the folder is locked but for the last.

    Raises:
        ConfigError: it holds something that may not be replaced or gone on with, or another process writes to it.
    """
    folder = lock.folder
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output_dir: {folder}: is a file; choose another")
    lock.acquire()
    found = [name for name in files.OUTPUTS if (folder / name).exists()]
    if not found or overwrite:
        return "new"
    if config.resume == "never":
        state = "a finished training" if files.METRICS in found else "a training that has not finished (--resume)"
        raise ConfigError(f"output_dir: {folder}: holds {state}; choose another, or give --overwrite")
    if not (folder / files.RUN).exists():
        return "new"  # it was cut off before it began
    _check_same_config(folder, config)
    if files.METRICS in found:
        logger.info("%s: finished already", folder)
        return "finished"
    return "unfinished"


def _check_same_config(folder: Path, config: OwnConfig) -> None:
    try:
        before = flat(read_config(folder / files.CONFIG, schema=OwnConfig).model_dump(mode="json"))
    except ConfigError as error:
        raise ConfigError(f"{error}; put the training's config back, or give --overwrite to start again") from error
    refuse_differences(folder, before, flat(config.model_dump(mode="json")), free_to_change=FREE_TO_CHANGE)


def _checkpoint(folder: Path, origins: Mapping[str, Any]) -> dict[str, Any] | None:
    """The newest undamaged one; ``None`` where there is none yet.

    Raises:
        CheckpointError: the training began with other images or weights, or every checkpoint is damaged.
    """
    if not on_rank_zero(lambda: bool(saved(folder / files.CHECKPOINTS))):
        return None

    def find() -> Path | None:
        before = json.loads((folder / files.RUN).read_text(encoding="utf-8"))
        if before.get("format_version") != FORMAT_VERSION:
            raise CheckpointError(f"{folder}: {why_not(before.get('format_version'))}")
        differing = [key for key in origins if before.get(key) != json.loads(json.dumps(origins[key]))]
        if differing:
            raise CheckpointError(
                f"{folder}: cannot go on, these are not what the training began with: {', '.join(differing)}; put them "
                "back, or start again with --overwrite"
            )
        return find_newest(folder / files.CHECKPOINTS, set_aside=True)[0]

    path = on_rank_zero(find)
    return None if path is None else load(path)


def _begin(folder: Path, config: OwnConfig, origins: Mapping[str, Any]) -> None:
    """A folder without an earlier training, but for its latents; it says what is trained. The rest stays."""
    try:
        if any((folder / name).exists() for name in files.OUTPUTS):  # else what looks like ours is the user's
            (folder / files.METRICS).unlink(missing_ok=True)
            for pattern in files.PATTERNS:
                for file in folder.glob(pattern):
                    file.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / files.CONFIG, to_yaml(config))
        write_text(folder / files.CLASSES, json.dumps(origins["classes"], ensure_ascii=False, indent=1) + "\n")
        write_json(folder / files.RUN, origins)
    except OSError as error:
        raise unwritable(folder, error) from error


def _train(
    subject: Subject,
    config: OwnConfig,
    folder: Path,
    checkpoint: dict[str, Any] | None,
    tracking: Mapping[str, Any],
) -> None:
    def restore(things: Mapping[str, Any]) -> None:
        assert checkpoint is not None
        Checkpoint.load_objects(to_load={name: things[name] for name in checkpoint}, checkpoint=checkpoint)

    logger.info("%s: %d updates on %s", folder, config.training.iterations, idist.device())

    def write(average: nn.Module, measured: dict[str, Any]) -> None:
        try:
            subject.write(average, measured, folder)
            write_json(folder / files.METRICS, {"what": config.what, "seed": config.seed, **measured})
        except OSError as error:
            raise UserError(f"{folder}: cannot be written to ({error.strerror}); mend that, then --resume") from error
        logger.info("results: %s", folder)

    train(
        subject,
        config,
        folder,
        tracking=tracking,
        restore=restore if checkpoint is not None else None,
        done=checkpoint["engine"]["iteration"] if checkpoint is not None else 0,
        finish=lambda average, measured: on_rank_zero(lambda: write(average, measured)),
    )
