"""From a config to the parts of a run: the only code that reads the one and makes the other.

It goes the data's way: tasks and their stream, the models that see the images, what learns, and what is written down.
"""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist

from dusa_ignite.config import Config, own_parts
from dusa_ignite.data import Task, TaskStream
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.handlers.tracking import check_tracking
from dusa_ignite.models.metadata import metadata_of
from dusa_ignite.runs.assemble_models import classifier_of, guide_of, learns, method_of, norm_ema_of, optimizer_of
from dusa_ignite.runs.class_check import FoundData, check_classes
from dusa_ignite.runs.memory_check import check_memory
from dusa_ignite.runs.numerics import autocast_dtype, model_dtype, set_up_torch
from dusa_ignite.runs.parallel import full_state, parallelize
from dusa_ignite.runs.parts import HandlerOptions, Parts
from dusa_ignite.runs.provenance import describe_run


def assemble(config: Config, *, resumed: bool = False) -> Parts:
    """All parts of a run.

    Args:
        config: the whole.
        resumed: whether the run is resumed; then it goes on without a tracking server that is missing.

    Raises:
        UserError: something in the config, the data or the weights cannot be used.
    """
    tracking = on_rank_zero(lambda: check_tracking(**config.tracking.model_dump(), resumed=resumed))
    memory = on_rank_zero(lambda: check_memory(config, refuse=config.run.memory_check))
    set_up(config)

    data = data_of(config)
    stream = build_stream(config, data.tasks)
    classifier = classifier_of(config)
    guide = guide_of(config)
    description = on_rank_zero(
        lambda: describe_run(
            classifier=classifier,
            guide=guide,
            tasks=data.tasks,
            seed=config.seed,
            compute_dtype=(guide and autocast_dtype(config.run.precision)) or model_dtype(config.run.precision),
            own_parts=own_parts(config),
        )
    )
    description |= {"memory_estimate_bytes": {need.where: dict(need.parts) for need in memory.needs}}
    description |= {"view": classifier.source_view.describe(), **data.describe()}
    sharded = config.distributed.strategy == "fsdp"
    parallelize(classifier, guide, stream, sharded=sharded)
    optimizer = optimizer_of(config, classifier, guide)
    method = method_of(config, classifier, guide, optimizer)
    norm_ema = norm_ema_of(config, classifier)

    background = config.checkpoint.background

    stateful: dict[str, Any] = {"classifier": classifier, "method": method}
    if optimizer is not None:
        stateful["optimizer"] = optimizer
    if guide is not None:
        stateful |= {"transformer": guide.transformer, "scaler": method.scaler}
    if norm_ema is not None:
        stateful["norm_ema"] = norm_ema
    return Parts(
        stream=stream,
        classifier=classifier,
        method=method,
        norm_ema=norm_ema,
        stateful=stateful,
        full_state=full_state(stateful, sharded=sharded),
        resets=SETTINGS[config.setting].resets if learns(config) else "never",
        tracking={**tracking, "parameters": config.model_dump(mode="json")},
        description=description,
        notes=[str(memory), *data.notes(), str(classifier.source_view)],
        summary=config.model_dump(include={"name", "setting", "seed"}) | {"method": config.method.name},
        options=HandlerOptions(
            log_every_seconds=config.run.log_every_seconds,
            max_skipped_in_a_row=config.run.max_skipped_in_a_row,
            export_classifier=config.export == "classifier",
            every_minutes=config.checkpoint.every_minutes,
            every_updates=config.checkpoint.every_updates,
            keep=config.checkpoint.keep,
            background=idist.device().type == "cuda" if background is None else background,
        ),
    )


def set_up(config: Config) -> None:
    """Seeds, determinism and threads."""
    set_up_torch(seed=config.seed, deterministic=config.run.deterministic, num_threads=config.run.num_threads)


def build_tasks(config: Config) -> list[Task]:
    """The tasks of the configured data set, arranged as the setting says; see :func:`data_of`."""
    return data_of(config).tasks


def data_of(config: Config) -> FoundData:
    """The tasks, arranged as the setting says, what is known of their classes, and what was left out.

    Raises:
        CheckpointError: a file beside the classifier's weights cannot be read.
        ConfigError: the data and the classifier disagree on the classes, their number or their order.
        DataError: a folder is missing or holds no images.
    """
    given = config.classifier
    metadata = metadata_of(
        given.checkpoint, name=given.name, pretrained=given.pretrained, num_classes=given.num_classes
    )
    found = check_classes(
        config.data.tasks(),
        num_classes=given.num_classes,
        data=config.data.name,
        from_folders=getattr(config.data, "classes", ()) is None,
        known=metadata.class_names,
        source=metadata.names_source,
    )
    return found._replace(tasks=SETTINGS[config.setting].arrange(found.tasks))


def build_stream(config: Config, tasks: list[Task]) -> TaskStream:
    """This process's share of all batches."""
    data = config.data
    return TaskStream(
        tasks,
        batch_size=data.batch_size,
        seed=config.seed,
        shuffle=data.shuffle,
        correlation=data.correlation if SETTINGS[config.setting].correlated else None,
        limit=data.limit,
        max_batches=config.run.max_batches,
        num_workers=min(data.num_workers, os.cpu_count() or 1),  # more than cores only get in each other's way
        on_error=data.on_error,
        rank=idist.get_rank(),
        world_size=idist.get_world_size(),
    )
