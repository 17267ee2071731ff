"""A whole run, top to bottom: the one place where parts are wired."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events

from dusa_ignite.runs import build
from dusa_ignite.runs import build_method
from dusa_ignite.runs import claim as resuming
from dusa_ignite.runs import folder as run_folder
from dusa_ignite.runs.checkpoints import AtomicSaver
from dusa_ignite.config import Config
from dusa_ignite.data.settings import RESETS
from dusa_ignite.data.stream import Task
from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.errors import UserError
from dusa_ignite.handlers import (
    ClassifierExport,
    MetricSums,
    NonFiniteGuard,
    PredictionLog,
    Progress,
    RunCheckpoint,
    TaskReset,
    TaskResults,
    UpdateLog,
    attach_metrics,
    task_metrics,
)
from dusa_ignite.handlers.append import AppendedFile
from dusa_ignite.handlers.tracking import attach_tracking, check_tracking
from dusa_ignite.handlers.update_log import read_update_log
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.runs.provenance import describe_run, peak_memory_bytes
from dusa_ignite.results.rows import mean_row, overall, results_table, write_csv, write_json

logger = logging.getLogger(__name__)


def adapt(local_rank: int, config: Config, overwrite: bool = False) -> None:
    """One run, from the config to the results in its folder; every process calls it.

    Args:
        local_rank: this process on its machine, as ``ignite.distributed.Parallel`` passes it.
        config: everything else.
        overwrite: replace the outputs of an earlier run of this name.

    Raises:
        UserError: something in the config, the data or the weights cannot be used.
        Interrupted: a signal asked the run to stop; it has been saved.
    """
    run_folder.log_to(None)
    folder = Path(config.output_dir) / config.name
    with resuming.taken(folder, config, overwrite=overwrite) as start:
        if start != "finished":
            run(config, folder, resumed=start == "unfinished")


def run(config: Config, folder: Path, *, resumed: bool) -> None:
    """See :func:`adapt`; the folder belongs to this run by now."""
    tracked = resuming.on_rank_zero(lambda: check_tracking(**config.tracking.model_dump(), resumed=resumed))
    build.set_up_torch(config)

    tasks = build.tasks(config)
    stream = build.stream(config, tasks)
    classifier = build.classifier(config)
    guide = build.guide(config) if config.is_guided else None
    description = resuming.on_rank_zero(lambda: describe(config, tasks, classifier, guide))
    build.spread(config, classifier, guide, stream)
    optimizer = build_method.optimizer(config, classifier, guide)
    scaler = torch.amp.GradScaler(idist.device().type, enabled=build.autocast_dtype(config) is torch.float16)
    memory = build_method.memory(config, classifier)
    update = build_method.update(config, classifier, guide, optimizer, memory=memory, scaler=scaler)
    engine = create_adaptation_engine(update)

    norm_ema = build_method.norm_ema(config, classifier)
    stateful: dict[str, Any] = {
        "classifier": classifier,
        "optimizer": optimizer,
        "method": memory,
        "norm_ema": norm_ema,
    }
    if guide is not None:
        stateful |= {"transformer": guide.transformer, "scaler": scaler}
    stateful = {name: thing for name, thing in stateful.items() if thing is not None}
    saved = build.full_state(config, stateful)
    resets = config.setting in RESETS and config.learns

    checkpoint = resuming.load_checkpoint(folder, description) if resumed else None
    resuming.on_rank_zero(lambda: resuming.start_folder(folder, config, description, new=checkpoint is None))
    if idist.get_rank() > 0:
        logging.getLogger("dusa_ignite").setLevel(logging.WARNING)
    logger.info("%s: %d tasks, %d updates, on %s", config.name, len(tasks), len(stream), idist.device())

    metrics = task_metrics(
        num_classes=classifier.num_classes,
        ema=norm_ema is not None and norm_ema.evaluate,
        device=idist.device(),
    )
    results = TaskResults(metrics=list(metrics), on_row=save_rows_to(folder))
    guard = NonFiniteGuard(max_in_a_row=config.run.max_skipped_in_a_row)
    updates = UpdateLog(folder / run_folder.UPDATES)
    predictions = PredictionLog(folder / run_folder.PREDICTIONS)
    progress = {"metrics": MetricSums(metrics), "results": results, "guard": guard}
    progress |= {"updates": updates, "predictions": predictions}

    if resets:
        episodic = config.setting == "episodic"
        TaskReset(stateful).attach(engine, Events.ITERATION_STARTED if episodic else TaskEvents.TASK_STARTED)
    if norm_ema is not None:
        norm_ema.attach(engine)
    attach_metrics(engine, metrics)
    results.attach(engine)
    guard.attach(engine)
    updates.attach(engine)
    predictions.attach(engine)
    if idist.get_rank() == 0:
        Progress(total=len(stream), every_seconds=config.run.log_every_seconds).attach(engine)
        if config.export == "classifier":
            ClassifierExport(folder / run_folder.EXPORTS, build_method.predictor(classifier, memory)).attach(engine)
    tracking = attach_tracking(
        engine,
        folder=folder,
        results=results,
        parameters=config.model_dump(mode="json"),
        resumed=resumed,
        done=checkpoint["engine"]["iteration"] if checkpoint else 0,
        **tracked,
    )
    background = config.checkpoint.background
    saver = AtomicSaver(
        folder / run_folder.CHECKPOINTS,
        keep=config.checkpoint.keep,
        background=idist.device().type == "cuda" if background is None else background,
    )
    RunCheckpoint(
        saver,
        stateful=saved,
        progress=progress,
        resets=resets,
        every_minutes=config.checkpoint.every_minutes,
        every_updates=config.checkpoint.every_updates,
    ).attach(engine)

    if checkpoint is not None:
        resuming.restore(checkpoint, {"engine": engine, **progress, **saved})
        logger.info("goes on after update %d", engine.state.iteration)
    with tracking:
        with saver:
            if engine.state.iteration < len(stream):
                engine.run(stream, max_epochs=1, epoch_length=len(stream))
        if idist.get_rank() == 0:
            finish(config, folder, results.rows, logs=(updates, predictions))
    if idist.get_rank() == 0:
        run_folder.log_to(None)


def describe(config: Config, tasks: list[Task], classifier: Classifier, guide: Guide | None) -> dict[str, Any]:
    """What run.json holds."""
    models: dict[str, torch.nn.Module] = {"classifier": classifier}
    if guide is not None:
        models["transformer"] = guide.transformer
        if guide.vae is not None:
            models["vae"] = guide.vae
    return describe_run(
        models=models,
        tasks=tasks,
        seed=config.seed,
        world_size=idist.get_world_size(),
        compute_dtype=(guide and build.autocast_dtype(config)) or build.model_dtype(config),
        device=idist.device(),
    )


def save_rows_to(folder: Path) -> Callable[[list[dict[str, Any]]], None]:
    """Rewrites results.csv whenever a task has completed; where it cannot (full disk), the end of the run will."""

    def save(rows: list[dict[str, Any]]) -> None:
        if idist.get_rank() == 0:
            try:
                write_csv(folder / run_folder.RESULTS, rows)
            except OSError as error:
                logger.warning(
                    "%s: not written for now, the run goes on: %s", folder / run_folder.RESULTS, error.strerror
                )

    return save


def finish(config: Config, folder: Path, rows: list[dict[str, Any]], *, logs: Sequence[AppendedFile]) -> None:
    """What a full disk has kept from being written, pictures, the table on the console, and the summary.

    Raises:
        UserError: a file cannot be written; the run counts as unfinished.
    """
    from dusa_ignite.results.plots import plot_stream, plot_tasks  # matplotlib, which only this process needs, and only now

    try:
        for log in logs:
            log.flush()
        write_csv(folder / run_folder.RESULTS, rows)
        mean = mean_row(rows)
        updates = read_update_log(folder / run_folder.UPDATES)
        plot_stream(folder / run_folder.STREAM_PLOT, updates)
        plot_tasks(folder / run_folder.TASKS_PLOT, {config.name: [*rows, mean]})
        memory = peak_memory_bytes()
        summary = {
            "name": config.name,
            "method": config.method.name,
            "setting": config.setting,
            "seed": config.seed,
            "tasks": len(rows),
            "mean": mean,
            "overall": overall(rows, updates),
            "peak_memory_bytes": memory,
        }
        logger.info("\n%s\n", results_table(rows))
        logger.info("peak memory: %s", ", ".join(f"{size / 2**30:.2f} GiB {where}" for where, size in memory.items()))
        logger.info("results: %s", folder)
        write_json(folder / run_folder.SUMMARY, summary)
    except OSError as error:
        raise UserError(
            f"{folder}: the results cannot be written ({error.strerror or error}); mend that, then go on with --resume"
        ) from error
