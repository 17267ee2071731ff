"""Latents of a folder's images: encoded once, kept on disk, and made anew when anything they depend on has changed."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.errors import ConfigError
from dusa_ignite.models.guides import Guide
from dusa_ignite.pretraining.own.augment import augmented
from dusa_ignite.pretraining.own.config import OwnAugment
from dusa_ignite.pretraining.own.images import ViewedImages
from dusa_ignite.utils.durable import write_text
from dusa_ignite.utils.durations import duration
from dusa_ignite.utils.seeding import derive_seed

logger = logging.getLogger(__name__)

BATCH = 8  # images encoded at once
LINE_SECONDS = 10.0


def cached_latents(
    images: ViewedImages,
    *,
    guide: Guide,
    folder: Path,
    name: str,
    augment: OwnAugment | None,
    views: int,
    seed: int,
    origin: Mapping[str, Any],
) -> np.ndarray:
    """(N, views, C, h, w) float32 latents, read from disk as they are used; encoded before where they are not there.

    All processes call it and share the work. What is cut off while it is encoded is encoded anew.

    Args:
        images: N of them.
        guide: encodes.
        folder: where the cache lies.
        name: of these images among others, such as ``training``.
        augment: what every view but for ``None`` undergoes; view v of image i draws from a generator keyed by
            (seed, i, v).
        views: of each image, >= 1.
        seed: see there.
        origin: everything that the latents depend on, as plain JSON: a cache with another one is made anew, and a line
            says what has changed.

    Raises:
        ConfigError: the folder cannot be written to, or another training encodes into it.
    """
    file, note = folder / f"{name}.npy", folder / f"{name}.json"
    shape = (len(images), views, *guide.latent_shape)
    described = {**origin, "shape": list(shape), "seed": seed, "augment": augment.model_dump() if augment else None}
    if not on_rank_zero(lambda: _is_current(file, note, described)):
        part = file.with_name(f"{file.name}.part")
        with _alone(part):
            on_rank_zero(lambda: _make(part, shape))
            _encode(np.load(part, mmap_mode="r+"), images, guide, name=name, augment=augment, seed=seed)
            global_sum(0.0)  # all processes have written their share
            on_rank_zero(lambda: _keep(part, file, note, described))
    return np.load(file, mmap_mode="r")


def _is_current(file: Path, note: Path, described: Mapping[str, Any]) -> bool:
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not file.is_file() or not isinstance(before, dict):
        return False
    changed = [key for key in described if before.get(key) != json.loads(json.dumps(described[key]))]
    if changed:
        logger.info("%s: made anew, since these have changed: %s", file, ", ".join(changed))
    return not changed


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """No other training writes to this file within; the system forgets it when this one is killed."""
    descriptor = -1

    def claim() -> None:
        nonlocal descriptor
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(descriptor), part.stat())  # else the other one was ready just now
        except (BlockingIOError, FileNotFoundError):
            mine = False
        except OSError as error:
            raise _unwritable(part, error) from error
        if not mine:
            raise ConfigError(
                f"{part.parent}: another training encodes its images into it; wait for it, or choose another vae.cache"
            )

    try:
        on_rank_zero(claim)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _make(part: Path, shape: tuple[int, ...]) -> None:
    """The whole file at once: a disk that fills up later would kill the process."""
    try:
        np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape).flush()
        with part.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
    except OSError as error:
        raise _unwritable(part, error) from error


def _unwritable(part: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{part.parent}: cannot be written to ({error.strerror}); choose another vae.cache")


def _encode(
    latents: np.ndarray, images: ViewedImages, guide: Guide, *, name: str, augment: OwnAugment | None, seed: int
) -> None:
    started = line = time.monotonic()
    device, dtype = idist.device(), next(guide.parameters()).dtype
    starts = range(BATCH * idist.get_rank(), len(images), BATCH * idist.get_world_size())
    for done, start in enumerate(starts):
        indices = list(range(start, min(start + BATCH, len(images))))
        pixels = images.read(indices) / 255
        for view in range(latents.shape[1]):
            shown = pixels
            if augment is not None:
                generators = [torch.Generator().manual_seed(derive_seed(seed, "view", i, view)) for i in indices]
                shown = torch.stack(
                    [augmented(image, augment, generator) for image, generator in zip(pixels, generators, strict=True)]
                )
            latents[indices, view] = guide.encode(shown.to(device, dtype)).float().cpu().numpy()
        now = time.monotonic()
        if now - line >= LINE_SECONDS:
            line = now
            left = (now - started) / (done + 1) * (len(starts) - done - 1)
            logger.info("latents, %s: %d of %d images, %s left", name, indices[-1] + 1, len(images), duration(left))
    latents.flush()  # type: ignore[attr-defined]


def _keep(part: Path, file: Path, note: Path, described: Mapping[str, Any]) -> None:
    note.unlink(missing_ok=True)  # until both are new
    os.replace(part, file)
    write_text(note, json.dumps(described, indent=1) + "\n")
    logger.info("%s: %d images encoded", file, described["shape"][0])
