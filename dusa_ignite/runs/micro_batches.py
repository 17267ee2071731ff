"""``data.micro_batch_size: auto``: the largest micro-batch that fits, found before anything is built."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dusa_ignite.config import Config
from dusa_ignite.distributed.collectives import global_max
from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.assemble_shapes import is_automatic, largest_micro_batch, with_micro_batches
from dusa_ignite.runs.memory import Memory, memory_of

logger = logging.getLogger(__name__)

SHARE = 0.9  # of the free memory: an allocator cannot use all of it


def resolved(config: Config, *, recorded: int | None = None, whole_run: bool = True) -> Config:
    """The config with a number in the place of ``auto``: whatever reads ``data.micro_batch_size`` is given this one.

    The sizes that are tried cut a process's share of the batch (for windows, an image's pairs of window and class) into
    equal pieces: the whole, half, a quarter, ... Where not even single ones fit, it is 1, and the check of the memory
    says so.

    Args:
        config: of the run; one that names a number is returned as it is.
        recorded: what an earlier start of the run found; it is taken again.
        whole_run: see :func:`dusa_ignite.runs.memory.memory_of`.

    Raises:
        ConfigError: what the run takes cannot be estimated, or nobody knows how much memory is free.
    """
    if not is_automatic(config):
        return config
    size = recorded
    if size is None:
        found = largest(config, sizes_of(largest_micro_batch(config)), whole_run=whole_run)
        size = -int(global_max(-found))  # of all processes the one that has the least
        logger.info("data.micro_batch_size: auto, %d at once", size)
    return with_micro_batches(config, size)


def sizes_of(share: int) -> list[int]:
    """From the whole share down to 1: 64, 32, ..., or 25, 13, 7, 4, 2, 1."""
    sizes = [share]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def largest(config: Config, sizes: Sequence[int], *, whole_run: bool) -> int:
    """The first of falling sizes that fits, by bisection; the last one where none does."""
    low, high = 0, len(sizes) - 1  # sizes[high] fits, or is the last
    while low < high:
        middle = (low + high) // 2
        if _fits(_known(memory_of(with_micro_batches(config, sizes[middle]), whole_run=whole_run))):
            high = middle
        else:
            low = middle + 1
    return sizes[high]


def _fits(memory: Memory) -> bool:
    return all(need.free is not None and need.total <= SHARE * need.free for need in memory.needs)


def _known(memory: Memory) -> Memory:
    unknown = list(memory.unknown) + ["the free memory" for need in memory.needs if need.free is None]
    if unknown:
        raise ConfigError(
            f"data.micro_batch_size: auto cannot be found without {', '.join(unknown)}, which is not known before the "
            "models are built; give a number"
        )
    return memory
