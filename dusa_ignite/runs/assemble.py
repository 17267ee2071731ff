"""From a config to the parts of a run: the only code that reads the one and makes the other.

It goes the data's way: tasks and their stream, the models that see the images, what learns, and what is written down.
"""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist

from dusa_ignite.config import Config, own_parts
from dusa_ignite.data import Task, TaskStream
from dusa_ignite.data.file_list import describe_list
from dusa_ignite.data.present import present_classes
from dusa_ignite.data.settings import SETTINGS
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.handlers import ScoreOver
from dusa_ignite.handlers.onnx_export import check_onnx
from dusa_ignite.handlers.tracking import check_tracking
from dusa_ignite.methods.find import find_method
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.precision import autocast_dtype, model_dtype
from dusa_ignite.problems import PROBLEMS
from dusa_ignite.runs.assemble_models import (
    classes_of,
    classifier_of,
    classifier_weights_of,
    clean_result_of,
    compile_models,
    guide_of,
    guide_weights_of,
    learns,
    method_of,
    micro_batch_size_of,
    monitor_of,
    norm_ema_of,
    optimizer_of,
    restrict_models,
)
from dusa_ignite.runs.class_check import FoundData
from dusa_ignite.runs.learning import stateful_of
from dusa_ignite.runs.memory_check import check_memory
from dusa_ignite.runs.numerics import set_up_torch
from dusa_ignite.runs.parallel import full_state, parallelize
from dusa_ignite.runs.parts import CheckOptions, HandlerOptions, Parts
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
    if config.export == "onnx":
        check_onnx()
    memory = on_rank_zero(lambda: check_memory(config, refuse=config.run.memory_check))
    set_up(config)

    data = data_of(config)
    score_over = score_over_of(config, data.tasks)
    stream = build_stream(config, data.tasks)
    classifier = classifier_of(config)
    guide = guide_of(config, data.classes)
    description = on_rank_zero(lambda: description_of(config, data, classifier, guide))
    scored_over = score_over.describe() if score_over else {"over": "all", "classes": classifier.num_classes}
    listed = describe_list(config.data.files, data.tasks)
    description |= {"scored_over": scored_over, "files": listed}
    description["memory_estimate_bytes"] = {need.where: dict(need.parts) for need in memory.needs}
    notes = [str(memory), *data.notes(), classifier.view_line()]
    clean = None if updated else clean_result_of(config, data.classes, classifier, guide)
    if clean is not None:
        clean.check(config.data.clean_minimum)
        description["clean_images"] = clean.describe()
        notes.append(str(clean))
    if score_over and score_over.narrow:
        restrict_models(config, score_over.present, classifier, guide)
    sharded = config.distributed.strategy == "fsdp"
    monitor = monitor_of(config, classifier)
    parallelize(classifier, guide, stream, sharded=sharded)
    compile_models(config, classifier, guide)
    optimizer = optimizer_of(config, classifier, guide)
    method = method_of(config, classifier, guide, optimizer)
    norm_ema = norm_ema_of(config, classifier)

    background = config.checkpoint.background

    stateful = stateful_of(classifier, guide, optimizer, method, norm_ema)
    return Parts(
        problem=PROBLEMS[config.problem],
        stream=stream,
        classifier=classifier,
        method=method,
        monitor=monitor,
        norm_ema=norm_ema,
        score_over=score_over,
        stateful=stateful,
        full_state=full_state(stateful, sharded=sharded),
        resets=SETTINGS[config.setting].resets if learns(config) else "never",
        tracking={**tracking, "parameters": config.model_dump(mode="json")},
        description=description,
        notes=notes,
        summary=config.model_dump(include={"name", "setting", "seed"})
        | {"method": config.method.name, "scored_over": scored_over, "files": listed},
        options=HandlerOptions(
            log_every_seconds=config.run.log_every_seconds,
            max_skipped_in_a_row=config.run.max_skipped_in_a_row,
            export=config.export,
            class_names=data.class_names,
            data_root=getattr(config.data, "root", None),
            every_minutes=config.checkpoint.every_minutes,
            every_updates=config.checkpoint.every_updates,
            keep=config.checkpoint.keep,
            background=idist.device().type == "cuda" if background is None else background,
        ),
    )


def description_of(config: Config, data: FoundData, classifier: Classifier, guide: Guide | None) -> dict[str, Any]:
    """What the run is made of, for run.json."""
    made_of = describe_run(
        classifier=classifier,
        guide=guide,
        tasks=data.tasks,
        seed=config.seed,
        compute_dtype=(guide and autocast_dtype(config.run.precision)) or model_dtype(config.run.precision),
        own_parts=own_parts(config),
    )
    computed = {
        "tf32": config.run.tf32,
        "compile": config.run.compile,
        "classifier_precision": config.classifier.precision,
        "micro_batch_size": micro_batch_size_of(config),
    }
    return made_of | computed | {"view": classifier.source_view.describe(), **data.describe()}


def set_up(config: Config) -> None:
    """Seeds, determinism, threads, and how float32 is multiplied."""
    set_up_torch(seed=config.seed, **config.run.model_dump(include={"deterministic", "num_threads", "tf32"}))


def check_options_of(config: Config) -> CheckOptions:
    """What ``dusa-ignite check`` wants to know."""
    return CheckOptions(
        survey=config.data.find,
        threads=max(config.data.num_workers, 1),
        skips_unreadable=config.data.on_error == "skip",
        clean_minimum=config.data.clean_minimum,
        classifier_weights=classifier_weights_of(config),
        guide_weights=guide_weights_of(config),
        method=config.method.name,
        setting=config.setting,
        guided=find_method(config.method.name).guided,
        keep=config.checkpoint.keep,
        export=config.export,
        tracking=config.tracking.model_dump(),
    )


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
    return arranged(config, classes_of(config, config.data.find()))


def arranged(config: Config, found: FoundData) -> FoundData:
    """The tasks as the setting says.

    Raises:
        ConfigError: the setting needs other tasks.
    """
    return found._replace(tasks=SETTINGS[config.setting].arrange(found.tasks))


def score_over_of(config: Config, tasks: list[Task]) -> ScoreOver | None:
    """Masks the classes that a task does not hold; ``None`` where all of them count.

    Raises:
        DataError: a task has no labels to tell them by.
    """
    if config.data.score_over == "all":
        return None
    present = {task.name: present_classes(task, num_classes=config.classifier.num_classes) for task in tasks}
    return ScoreOver(present, narrow=config.method.restrict_to == "present")


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
