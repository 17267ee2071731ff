"""Models that several processes share, and their state as one process would have it."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
from timm.layers import convert_sync_batchnorm
from torch import distributed as dist

from dusa_ignite.data import TaskStream
from dusa_ignite.distributed.sharding import ShardedModel, ShardedOptimizer, shard
from dusa_ignite.errors import ConfigError
from dusa_ignite.models import Classifier, Guide

STATISTICS_OF_SEVERAL = "classifier.batch_norm: batch needs"


def parallelize(classifier: Classifier, guide: Guide | None, stream: TaskStream, *, sharded: bool) -> None:
    """:func:`fit_for_processes` with the batches of a stream."""
    smallest = min((len(entry.indices) for entry in stream.plan), default=0)
    fit_for_processes(classifier, guide, smallest_batch=smallest, sharded=sharded)


def fit_for_processes(classifier: Classifier, guide: Guide | None, *, smallest_batch: int, sharded: bool) -> None:
    """Make the models fit for several processes, where there are any, before their optimizer is made.

    Args:
        classifier: gets SyncBatchNorm where its BatchNorm uses the batch's statistics.
        guide: its transformer is spread over the processes, if that is asked for.
        smallest_batch: images of the smallest batch over all processes.
        sharded: whether it is, ``distributed.strategy=fsdp``.

    Raises:
        ConfigError: what is asked for needs processes that torchrun or --nproc starts, or GPUs, or larger batches.
    """
    if sharded and guide is not None:
        if not dist.is_initialized():
            raise ConfigError("distributed.strategy: fsdp needs torchrun (--nproc_per_node=1 for one) or --nproc")
        shard(guide.transformer, world_size=idist.get_world_size(), device=idist.device())
    if idist.get_world_size() > 1 and classifier.uses_batch_statistics:
        if idist.device().type != "cuda":
            raise ConfigError(
                f"{STATISTICS_OF_SEVERAL} GPUs for statistics over several processes; take one process, or "
                "classifier.batch_norm=source"
            )
        if smallest_batch < idist.get_world_size():
            raise ConfigError(
                f"{STATISTICS_OF_SEVERAL} an image for every process in every batch; choose data.batch_size "
                "or data.limit so that a task's last batch has them, or classifier.batch_norm=source"
            )
        classifier.backbone = convert_sync_batchnorm(classifier.backbone)
        classifier.eval()


def full_state(stateful: dict[str, Any], *, sharded: bool) -> dict[str, Any]:
    """The stateful things as checkpoints hold them: whatever is sharded, gathered."""
    if not sharded or "transformer" not in stateful:
        return stateful
    models = {name: stateful[name] for name in ("classifier", "transformer")}
    return {
        **stateful,
        "transformer": ShardedModel(stateful["transformer"]),
        "optimizer": ShardedOptimizer(stateful["optimizer"], models),
    }
