"""A whole run, top to bottom: claim the folder, assemble the parts, attach the handlers, run, finish."""

from __future__ import annotations

import logging
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Events

from dusa_ignite.config import Config
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.handlers import (
    AtomicSaver,
    MetricSums,
    NonFiniteGuard,
    Progress,
    RunCheckpoint,
    TaskReset,
    TaskResults,
    UpdateLog,
    attach_metrics,
)
from dusa_ignite.handlers.atomic_saver import saved
from dusa_ignite.handlers.tracking import attach_tracking
from dusa_ignite.results import files
from dusa_ignite.results.image_paths import ImagePaths
from dusa_ignite.runs import claim
from dusa_ignite.runs.assemble import Parts, assemble
from dusa_ignite.runs.finish import finish, save_rows_to
from dusa_ignite.runs.folder import log_to
from dusa_ignite.runs.memory_check import explained
from dusa_ignite.runs.micro_batches import resolved

logger = logging.getLogger(__name__)

RESET_EVENTS = {"task": TaskEvents.TASK_STARTED, "batch": Events.ITERATION_STARTED}


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
    log_to(None)
    folder = Path(config.output_dir) / config.name
    with explained(config), claim.claim(folder, config, overwrite=overwrite) as start:
        if start == "finished":
            return
        resumed = start == "unfinished"
        updated = resumed and on_rank_zero(lambda: bool(saved(folder / files.CHECKPOINTS)))
        found_before = on_rank_zero(lambda: claim.recorded_micro_batch_size(folder)) if resumed else None
        sized = resolved(config, recorded=found_before)
        parts = assemble(sized, resumed=resumed, updated=updated)
        checkpoint = claim.load_checkpoint(folder, parts.description) if resumed else None
        on_rank_zero(lambda: claim.start_folder(folder, config, parts.description, new=checkpoint is None))
        run(parts, folder, checkpoint=checkpoint, resumed=resumed)


def run(parts: Parts, folder: Path, *, checkpoint: claim.State | None, resumed: bool) -> None:
    """Attach everything, run over the stream, and finish; the folder belongs to this run by now.

    Args:
        parts: of the run.
        folder: where it writes to.
        checkpoint: what it goes on from; ``None`` = from the beginning.
        resumed: whether an earlier process has begun the run, with or without a checkpoint.
    """
    is_first, stream, options = idist.get_rank() == 0, parts.stream, parts.options
    if not is_first:
        logging.getLogger("dusa_ignite").setLevel(logging.WARNING)
    logger.info("%s: %d tasks, %d updates, on %s", folder.name, len(stream.tasks), len(stream), idist.device())
    for note in parts.notes:
        logger.info("%s", note)
    ema, monitor = parts.norm_ema, parts.monitor
    engine = create_adaptation_engine(monitor.around(parts.method) if monitor else parts.method)
    metrics = parts.problem.metrics(
        num_classes=parts.num_scored,
        ema=ema is not None and ema.evaluate,
        source=monitor is not None,
        device=idist.device(),
    )
    results = TaskResults(metrics=[*metrics, *(monitor.counts if monitor else ())], on_row=save_rows_to(folder))
    guard = NonFiniteGuard(max_in_a_row=options.max_skipped_in_a_row)
    updates = UpdateLog(folder / files.UPDATES)
    paths = ImagePaths(stream.tasks, root=options.data_root)
    predictions = parts.problem.predictions(folder, class_names=options.class_names, path_of=paths)
    progress = {"metrics": MetricSums(metrics), "results": results, "guard": guard}
    if monitor is not None:
        progress["monitor"] = monitor
    progress |= {"updates": updates, "predictions": predictions}
    saver = AtomicSaver(folder / files.CHECKPOINTS, keep=options.keep, background=options.background)

    # The handlers, in the order in which they are called after an update
    acts = monitor is not None and monitor.acts
    source_state = TaskReset(parts.stateful) if acts or parts.resets in RESET_EVENTS else None
    if source_state is not None and parts.resets in RESET_EVENTS:
        source_state.attach(engine, RESET_EVENTS[parts.resets])
    if ema is not None:
        ema.attach(engine)
    if monitor is not None:
        monitor.attach(engine, source_state)
    if parts.score_over is not None:
        parts.score_over.attach(engine)
    attach_metrics(engine, metrics)
    results.attach(engine)
    guard.attach(engine)
    updates.attach(engine)
    predictions.attach(engine)
    if is_first:
        Progress(total=len(stream), every_seconds=options.log_every_seconds).attach(engine)
        if options.export:
            if parts.method.trains == "nothing" and not parts.method.predicts_as_source:
                logger.warning(
                    "export: this method learns no weights; the files hold the source's, which predict otherwise"
                )
            kept = {"class_names": options.class_names, "kind": options.export}
            parts.problem.export(folder, parts.method.predictor, **kept).attach(engine)
    done = checkpoint["engine"]["iteration"] if checkpoint else 0
    tracking = attach_tracking(engine, folder=folder, results=results, resumed=resumed, done=done, **parts.tracking)
    RunCheckpoint(
        saver,
        stateful=parts.full_state,
        progress=progress,
        resets=parts.resets != "never",
        every_minutes=options.every_minutes,
        every_updates=options.every_updates,
    ).attach(engine)

    if checkpoint is not None:
        claim.restore(checkpoint, {"engine": engine, **progress, **parts.full_state})
        logger.info("resumed after update %d", engine.state.iteration)
    with tracking:
        with saver:
            if engine.state.iteration < len(stream):
                engine.run(stream, max_epochs=1, epoch_length=len(stream))
        if is_first:
            finish(folder, parts.summary, results.rows, logs=(updates, predictions), tasks=stream.tasks)
    if is_first:
        log_to(None)
