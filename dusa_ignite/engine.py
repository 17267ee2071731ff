"""The adaptation engine: an Ignite Engine whose one epoch runs through a stream of tasks.

A method's process function takes a :class:`Batch` and returns an :class:`Output`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import torch
from ignite.engine import Engine, EventEnum, Events
from ignite.metrics.metric import MetricUsage
from typing_extensions import NotRequired

Labels = torch.Tensor | list[torch.Tensor]
"""(B,) int64, -1 = unknown; in segmentation B maps (H, W) int64, 255 = unknown, each as large as its image."""


class Batch(TypedDict):
    """A process's share, possibly empty, of the images of one update."""

    images: torch.Tensor | list[torch.Tensor]  # uint8, or float in [0, 1]: (B, 3, H, W), or a list where sizes differ
    labels: Labels
    index: torch.Tensor  # (B,) int64, position in the task's data set
    task: str  # its name
    first: bool  # whether it is the task's first batch
    last: bool  # whether it is the task's last
    unreadable: list[str]  # a message per image left out


class Output(TypedDict):
    """What an update returns; nothing in it is attached to a graph."""

    y_pred: torch.Tensor  # (B, C) logits, in segmentation (B, C, h, w): the predictions that count
    y: Labels
    loss: float  # mean over the global batch; NaN where there is none
    diagnostics: dict[str, float]  # over the global batch; skipped_update is 1.0 where the update was not applied
    candidates: NotRequired[torch.Tensor]  # (B, K) int64, classes that the guide was asked about
    candidate_errors: NotRequired[torch.Tensor]  # (B, K) mean squared error of the guide's prediction for each
    ema_y_pred: NotRequired[torch.Tensor]  # likewise, logits of the averaged norms, see NormEMA
    source_y_pred: NotRequired[torch.Tensor]  # likewise, logits of the source model, see HarmMonitor


class TaskEvents(EventEnum):
    """What a stream of tasks adds to Ignite's events.

    ``TASK_STARTED`` fires before the update on a task's first batch, and only there: a run that is resumed in the
    middle of a task does not fire it again. ``TASK_COMPLETED`` fires after a task's last update, once all handlers of
    ``ITERATION_COMPLETED`` have run, metrics included. ``UPDATE_COMPLETED`` fires after every update, behind all of
    these: everything that belongs to the update has happened, so it is the moment to save.

    Filters such as ``TASK_COMPLETED(every=2)`` count tasks (``engine.state.task_number``, from 1) and updates; Ignite's
    loggers take the same numbers for their horizontal axis.
    """

    TASK_STARTED = "task_started"
    TASK_COMPLETED = "task_completed"
    UPDATE_COMPLETED = "update_completed"


class TaskWise(MetricUsage):
    """Metrics over the current task: reset as it starts, and computed after every update ("so far").

    Example:
        >>> Accuracy(output_transform=lambda output: (output["y_pred"], output["y"])).attach(engine, "top1", TaskWise())
    """

    usage_name = "task_wise"

    def __init__(self) -> None:
        super().__init__(
            started=TaskEvents.TASK_STARTED,  # type: ignore[arg-type]
            completed=Events.ITERATION_COMPLETED,
            iteration_completed=Events.ITERATION_COMPLETED,
        )


def create_adaptation_engine(update: Callable[[Engine, Batch], Output]) -> Engine:
    """An engine that calls ``update`` on every batch and fires :class:`TaskEvents`.

    Run it over a :class:`dusa_ignite.data.stream.TaskStream` (or any iterable of such batches) for one epoch;
    ``engine.state.task`` names the current task. A stream with ``seek`` goes on behind ``engine.state.iteration`` when
    the engine resumes from a loaded state.

    Args:
        update: a method, such as :class:`dusa_ignite.methods.Dusa`, or any function of the engine and a batch.

    Example:
        >>> engine = create_adaptation_engine(update)
        >>> engine.run(stream, max_epochs=1)
    """
    engine = Engine(update)
    engine.register_events(
        *TaskEvents,
        event_to_attr={
            TaskEvents.TASK_STARTED: "task_number",
            TaskEvents.TASK_COMPLETED: "task_number",
            TaskEvents.UPDATE_COMPLETED: "iteration",
        },
    )
    engine.state_dict_user_keys.append("task_number")
    engine.add_event_handler(Events.STARTED, _prepare_run)
    engine.add_event_handler(Events.ITERATION_STARTED, _begin_task)
    return engine


def labels_on(device: torch.device, labels: Labels) -> Labels:
    """The labels on a device."""
    return [own.to(device) for own in labels] if isinstance(labels, list) else labels.to(device)


def batch_of(engine: Engine) -> Batch:
    """``engine.state.batch``, which Ignite types as a number."""
    return engine.state.batch  # type: ignore[return-value]


def output_of(engine: Engine) -> Output:
    """``engine.state.output``, which Ignite types as a number."""
    return engine.state.output  # type: ignore[return-value]


def _prepare_run(engine: Engine) -> None:
    """Set the counter and the stream's position, and put our end-of-update handler behind those attached by now."""
    if engine.state.iteration == 0:
        engine.state.task_number = 0  # type: ignore[attr-defined]
    stream: Any = engine.state.dataloader
    if hasattr(stream, "seek"):
        stream.seek(engine.state.iteration)
    if engine.has_event_handler(_end_update, Events.ITERATION_COMPLETED):
        engine.remove_event_handler(_end_update, Events.ITERATION_COMPLETED)
    engine.add_event_handler(Events.ITERATION_COMPLETED, _end_update)


def _begin_task(engine: Engine) -> None:
    batch = batch_of(engine)
    engine.state.task = batch["task"]  # type: ignore[attr-defined]
    if batch["first"]:
        engine.state.task_number += 1  # type: ignore[attr-defined]
        engine.fire_event(TaskEvents.TASK_STARTED)


def _end_update(engine: Engine) -> None:
    if batch_of(engine)["last"]:
        engine.fire_event(TaskEvents.TASK_COMPLETED)
    engine.fire_event(TaskEvents.UPDATE_COMPLETED)
