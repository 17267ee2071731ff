"""From a config to the parts of a run: the only code that reads the one and makes the other.

It goes the data's way: tasks and their stream, the models that see the images, what learns, and what is written down.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist

from dusa_ignite.config import Config, own_parts
from dusa_ignite.data import Task, TaskStream
from dusa_ignite.data.clean import clean_images_of
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.handlers.tracking import check_tracking
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.metadata import metadata_of
from dusa_ignite.runs.assemble_models import classifier_of, guide_of, learns, method_of, norm_ema_of, optimizer_of
from dusa_ignite.runs.class_check import FoundData, check_classes
from dusa_ignite.runs.clean_check import CleanResult, measure_clean
from dusa_ignite.runs.numerics import autocast_dtype, model_dtype, set_up_torch
from dusa_ignite.runs.parallel import full_state, parallelize
from dusa_ignite.runs.parts import HandlerOptions, Parts
from dusa_ignite.runs.provenance import describe_run


def assemble(config: Config, *, resumed: bool = False, updated: bool = False) -> Parts:
    """All parts of a run.

    Args:
        config: the whole.
        resumed: whether the run is resumed; then it goes on without a tracking server that is missing.
        updated: whether it goes on behind its first update; then clean images are not looked at again.

    Raises:
        UserError: something in the config, the data or the weights cannot be used.
    """
    tracking = on_rank_zero(lambda: check_tracking(**config.tracking.model_dump(), resumed=resumed))
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
    description |= {"view": classifier.source_view.describe(), **data.describe()}
    notes = [*data.notes(), str(classifier.source_view)]
    clean = None if updated else clean_result_of(config, data.classes, classifier, guide)
    if clean is not None:
        clean.check(config.data.clean_minimum)
        description["clean_images"] = clean.describe()
        notes.append(str(clean))
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
        notes=notes,
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
    found = classes_of(config, config.data.tasks())
    return found._replace(tasks=SETTINGS[config.setting].arrange(found.tasks))


def classes_of(config: Config, tasks: Sequence[Task]) -> FoundData:
    """The tasks of a data set, and what is known of their classes.

    Raises:
        CheckpointError: a file beside the classifier's weights cannot be read.
        ConfigError: the data and the classifier disagree on the classes, their number or their order.
    """
    given = config.classifier
    metadata = metadata_of(
        given.checkpoint, name=given.name, pretrained=given.pretrained, num_classes=given.num_classes
    )
    return check_classes(
        tasks,
        num_classes=given.num_classes,
        data=config.data.name,
        from_folders=getattr(config.data, "classes", ()) is None,
        known=metadata.class_names,
        source=metadata.names_source,
    )


def clean_result_of(
    config: Config, classes: tuple[str, ...], classifier: Classifier, guide: Guide | None
) -> CleanResult | None:
    """What classifier and guide make of clean images; ``None`` where there are none. All processes call it.

    Raises:
        DataError: the clean images cannot be used.
    """
    data = config.data
    if data.clean_root is None:
        return None
    return measure_clean(
        clean_images_of(data.clean_root, classes),
        number=data.clean_images,
        classifier=classifier,
        guide=guide,
        time=config.time.sampler(),
        seed=config.seed,
        batch_size=data.batch_size,
        micro_batch_size=data.micro_batch_size,
        skip_unreadable=data.on_error == "skip",
    )


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
