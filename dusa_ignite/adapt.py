"""A whole run, top to bottom: the one place where parts are wired."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from ignite.handlers import Checkpoint

from dusa_ignite import build, build_method, run_folder
from dusa_ignite.checkpoints import AtomicSaver, load_newest
from dusa_ignite.config import Config, to_yaml
from dusa_ignite.data.settings import RESETS
from dusa_ignite.data.tasks import Task
from dusa_ignite.engine import TaskEvents, create_adaptation_engine
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
from dusa_ignite.handlers.tracking import attach_tracking, check_tracking
from dusa_ignite.handlers.update_log import read_update_log
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.plots import plot_stream, plot_tasks
from dusa_ignite.provenance import describe_run, peak_memory_bytes
from dusa_ignite.results import mean_row, overall, results_table, write_csv, write_json

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
    may_resume = config.resume == "auto" and not overwrite
    if may_resume and run_folder.is_finished(folder):
        logger.info("%s: finished already", folder)
        return
    resuming = may_resume and run_folder.is_unfinished(folder)
    if resuming:
        run_folder.check_same_config(folder, config)
    else:
        run_folder.check_free(folder, overwrite=overwrite)
    check_tracking(**config.tracking.model_dump())
    build.set_up_torch(config)

    tasks = build.tasks(config)
    stream = build.stream(config, tasks)
    classifier = build.classifier(config)
    guide = build.guide(config) if config.is_guided else None
    description = describe(config, tasks, classifier, guide) if idist.get_rank() == 0 else {}
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
    saved = build.saved_in_full(config, stateful)
    resets = config.setting in RESETS and config.learns

    checkpoint = load_newest(folder / run_folder.CHECKPOINTS) if resuming else None
    idist.barrier()  # every process has looked at the folder
    if idist.get_rank() > 0:
        logging.getLogger("dusa_ignite").setLevel(logging.WARNING)
    else:
        start_folder(config, folder, description, fresh=checkpoint is None)
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
            ClassifierExport(folder / run_folder.EXPORTS, classifier).attach(engine)
    tracking = attach_tracking(
        engine,
        folder=folder,
        results=results,
        parameters=config.model_dump(mode="json"),
        resumed=resuming,
        done=checkpoint["engine"]["iteration"] if checkpoint else 0,
        **config.tracking.model_dump(),
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
        restore(checkpoint, {"engine": engine, **progress, **saved})
        logger.info("goes on after update %d", engine.state.iteration)
    with tracking:
        with saver:
            if engine.state.iteration < len(stream):
                engine.run(stream, max_epochs=1, epoch_length=len(stream))
        if idist.get_rank() == 0:
            finish(config, folder, results.rows)
    if idist.get_rank() == 0:
        run_folder.log_to(None)


def start_folder(config: Config, folder: Path, description: dict[str, Any], *, fresh: bool) -> None:
    """Make the folder ready to be written to, and say in it what is run."""
    if fresh:
        run_folder.create(folder)
        (folder / run_folder.CONFIG).write_text(to_yaml(config))
        write_json(folder / run_folder.RUN, description)
    else:
        before = json.loads((folder / run_folder.RUN).read_text())
        write_json(folder / run_folder.RUN, {**before, "resumed": [*before.get("resumed", []), description]})
    run_folder.log_to(folder)


def restore(checkpoint: dict[str, Any], things: dict[str, Any]) -> None:
    """Load what a checkpoint holds; one from between two tasks lacks what the next task's reset restores."""
    Checkpoint.load_objects(to_load={name: things[name] for name in checkpoint}, checkpoint=checkpoint)


def describe(config: Config, tasks: list[Task], classifier: Classifier, guide: Guide | None) -> dict[str, Any]:
    """What run.json holds."""
    models: dict[str, torch.nn.Module] = {"classifier": classifier}
    if guide is not None:
        models["transformer"] = guide.transformer
        if guide.vae is not None:
            models["vae"] = guide.vae
    return describe_run(models=models, tasks=tasks, seed=config.seed, world_size=idist.get_world_size())


def save_rows_to(folder: Path) -> Callable[[list[dict[str, Any]]], None]:
    """Rewrites results.csv whenever a task has completed."""

    def save(rows: list[dict[str, Any]]) -> None:
        if idist.get_rank() == 0:
            write_csv(folder / run_folder.RESULTS, rows)

    return save


def finish(config: Config, folder: Path, rows: list[dict[str, Any]]) -> None:
    """Pictures, the summary, and the table on the console."""
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
