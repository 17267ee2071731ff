"""A whole run, top to bottom: the one place where parts are wired."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite import build, run_folder
from dusa_ignite.config import Config, to_yaml
from dusa_ignite.data.tasks import Task
from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.handlers import (
    NonFiniteGuard,
    Progress,
    TaskReset,
    TaskResults,
    UpdateLog,
    attach_metrics,
    task_metrics,
)
from dusa_ignite.handlers.update_log import read_update_log
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.plots import plot_stream, plot_tasks
from dusa_ignite.provenance import describe_run, peak_memory_bytes
from dusa_ignite.results import mean_row, results_table, write_csv, write_json

logger = logging.getLogger(__name__)


def adapt(local_rank: int, config: Config, overwrite: bool = False) -> None:
    """One run, from the config to the results in its folder; every process calls it.

    Args:
        local_rank: this process on its machine, as ``ignite.distributed.Parallel`` passes it.
        config: everything else.
        overwrite: replace the outputs of an earlier run of this name.

    Raises:
        UserError: something in the config, the data or the weights cannot be used.
    """
    folder = Path(config.output_dir) / config.name
    run_folder.check_free(folder, overwrite=overwrite)
    build.set_up_torch(config)

    tasks = build.tasks(config)
    stream = build.stream(config, tasks)
    classifier = build.classifier(config)
    guide = build.guide(config) if config.method.name != "source" else None
    optimizer = build.optimizer(config, classifier, guide)
    scaler = torch.amp.GradScaler(idist.device().type, enabled=build.autocast_dtype(config) is torch.float16)
    update = build.update(config, classifier, guide, optimizer, scaler)

    stateful: dict[str, Any] = {"classifier": classifier}
    if guide is not None:
        stateful |= {"transformer": guide.transformer, "optimizer": optimizer, "scaler": scaler}
    norm_ema = build.norm_ema(config, classifier)
    if norm_ema is not None:
        stateful["norm_ema"] = norm_ema

    idist.barrier()  # every process has found the folder free
    if idist.get_rank() > 0:
        logging.getLogger("dusa_ignite").setLevel(logging.WARNING)
    else:
        run_folder.create(folder)
        run_folder.log_to(folder)
        (folder / run_folder.CONFIG).write_text(to_yaml(config))
        write_json(folder / run_folder.RUN, describe(config, tasks, classifier, guide))
    logger.info("%s: %d tasks, %d updates, on %s", config.name, len(tasks), len(stream), idist.device())

    metrics = task_metrics(
        num_classes=classifier.num_classes,
        ema=norm_ema is not None and norm_ema.evaluate,
        device=idist.device(),
    )
    results = TaskResults(metrics=list(metrics), on_row=save_rows_to(folder))
    engine = create_adaptation_engine(update)
    if config.setting == "fully" and guide is not None:
        TaskReset(stateful).attach(engine)
    if norm_ema is not None:
        norm_ema.attach(engine)
    attach_metrics(engine, metrics)
    results.attach(engine)
    NonFiniteGuard(max_in_a_row=config.run.max_skipped_in_a_row).attach(engine)
    if idist.get_rank() == 0:
        UpdateLog(folder / run_folder.UPDATES).attach(engine)
        Progress(total=len(stream), every_seconds=config.run.log_every_seconds).attach(engine)

    engine.run(stream, max_epochs=1, epoch_length=len(stream))

    if idist.get_rank() == 0:
        finish(config, folder, results.rows)
        run_folder.log_to(None)


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
    plot_stream(folder / run_folder.STREAM_PLOT, read_update_log(folder / run_folder.UPDATES))
    plot_tasks(folder / run_folder.TASKS_PLOT, {config.name: [*rows, mean]})
    memory = peak_memory_bytes()
    summary = {
        "name": config.name,
        "method": config.method.name,
        "setting": config.setting,
        "seed": config.seed,
        "tasks": len(rows),
        "mean": mean,
        "peak_memory_bytes": memory,
    }
    logger.info("\n%s\n", results_table(rows))
    logger.info("peak memory: %s", ", ".join(f"{size / 2**30:.2f} GiB {where}" for where, size in memory.items()))
    logger.info("results: %s", folder)
    write_json(folder / run_folder.SUMMARY, summary)
