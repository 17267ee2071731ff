"""The training loop: an Ignite engine with the checkpoints of a run, so that it goes on exactly where it was."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.engine import TaskEvents, create_adaptation_engine
from dusa_ignite.errors import UserError
from dusa_ignite.handlers import AtomicSaver, RunCheckpoint, TaskResults
from dusa_ignite.handlers.append import AppendedFile
from dusa_ignite.handlers.tracking import attach_tracking
from dusa_ignite.pretraining.own import files
from dusa_ignite.pretraining.own.config import OwnConfig, OwnTraining
from dusa_ignite.pretraining.own.schedule import average_decay, average_into, learning_rate
from dusa_ignite.pretraining.own.stream import TrainingStream
from dusa_ignite.pretraining.own.subject import Subject
from dusa_ignite.utils.durations import duration
from dusa_ignite.utils.seeding import derive_seed

logger = logging.getLogger(__name__)


class Trainer:
    """An update of a model, and of the average of its weights.

    Args:
        subject: what is trained.
        options: how.
        seed: of what the model itself draws, such as dropout.
    """

    def __init__(self, subject: Subject, options: OwnTraining, *, seed: int) -> None:
        self.subject = subject
        self.options = options
        self.seed = seed
        self.trained = [parameter for parameter in subject.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=options.lr, weight_decay=options.weight_decay)
        self.average: nn.Module = copy.deepcopy(subject.model).requires_grad_(False).eval()

    def update(self, engine: Engine, batch: Any) -> dict[str, Any]:
        """One update with the global batch: its loss, learning rate and gradient, the same in all processes.

        Raises:
            UserError: the loss or its gradient is not finite.
        """
        number, options, device = engine.state.iteration, self.options, idist.device()
        rate = learning_rate(number, highest=options.lr, warmup=options.warmup, iterations=options.iterations)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(derive_seed(self.seed, "update", number))
        self.subject.model.train()
        on_device = {
            key: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
            for key, value in batch.items()
        }
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        if len(batch["labels"]):
            loss = self.subject.losses(on_device).sum() / options.batch_size
            loss.backward()
            total = loss.item()
        all_reduce_gradients(self.trained)
        norm = nn.utils.clip_grad_norm_(self.trained, options.clip_norm or math.inf).item()
        total = global_sum(total)
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise UserError(
                f"training.lr: the loss or its gradient is not finite in update {number}; choose a smaller one than "
                f"{options.lr:g}, or a longer training.warmup"
            )
        self.optimizer.step()
        average_into(self.average, self.subject.model, decay=average_decay(number, highest=options.ema_decay))
        return {"loss": total, "diagnostics": {"lr": rate, "gradient_norm": norm}}


def train(
    subject: Subject,
    config: OwnConfig,
    folder: Path,
    *,
    tracking: Mapping[str, Any],
    restore: Callable[[Mapping[str, Any]], None] | None = None,
    done: int = 0,
    finish: Callable[[nn.Module, dict[str, Any]], None],
) -> None:
    """Train and measure; the folder belongs to this training by now.

    Args:
        subject: what is trained.
        config: its ``training``, ``validation`` and ``checkpoint`` say how.
        folder: of the outputs.
        tracking: what :func:`dusa_ignite.handlers.tracking.check_tracking` has returned.
        restore: called with everything that a checkpoint holds, by name, to go on from one; ``None`` = from the start.
        done: updates that it holds.
        finish: called in the end, while it is still tracked, with the averaged model and what the last validation has
            measured.

    Raises:
        UserError: the loss is not finite.
        Interrupted: a signal asked the training to stop; it has been saved.
    """
    trainer = Trainer(subject, config.training, seed=config.seed)
    engine = create_adaptation_engine(trainer.update)  # type: ignore[arg-type]
    stream = TrainingStream(
        subject.load,
        images=subject.count,
        batch_size=config.training.batch_size,
        iterations=config.training.iterations,
        seed=config.seed,
        rank=idist.get_rank(),
        world_size=idist.get_world_size(),
    )
    updates, validations = AppendedFile(folder / files.UPDATES), AppendedFile(folder / files.VALIDATIONS)
    last, results = _Last(), TaskResults(metrics=[])

    def note(engine: Engine) -> None:
        output = _output(engine)
        updates.append(
            json.dumps({"update": engine.state.iteration, "loss": output["loss"], **output["diagnostics"]}) + "\n"
        )

    def validate(engine: Engine) -> None:
        number = engine.state.iteration
        if number % config.validation.every == 0 or number == len(stream):
            last.content = subject.measure(trainer.average, number, folder)
            validations.append(json.dumps({"update": number, **last.content}) + "\n")
            shown = {f"validation_{key}": value for key, value in last.content.items() if isinstance(value, float)}
            engine.state.metrics.update(shown)
            results.rows = [{"task": "training", **shown}]
            for name, path in subject.pictures(number, folder).items():
                if path.exists():  # written by the first process, which tracks
                    tracked.show(path, name=name)

    engine.add_event_handler(Events.ITERATION_COMPLETED, note)
    engine.add_event_handler(Events.ITERATION_COMPLETED, validate)
    if idist.get_rank() == 0:
        _Progress(len(stream), every_seconds=config.log_every_seconds).attach(engine)
    stateful = {"model": subject.model, "average": trainer.average, "optimizer": trainer.optimizer}
    progress = {"updates": updates, "validations": validations, "last": last}
    background = config.checkpoint.background
    saver = AtomicSaver(
        folder / files.CHECKPOINTS,
        keep=config.checkpoint.keep,
        background=idist.device().type == "cuda" if background is None else background,
    )
    tracked = attach_tracking(
        engine,
        folder=folder,
        results=results,
        parameters=config.model_dump(mode="json"),
        resumed=restore is not None,
        done=done,
        which=files.TRACKED,
        **tracking,
    )
    RunCheckpoint(
        saver,
        stateful=stateful,
        progress=progress,
        resets=False,
        every_minutes=config.checkpoint.every_minutes,
        every_updates=config.checkpoint.every_updates,
    ).attach(engine)
    if restore is not None:
        restore({"engine": engine, **progress, **stateful})
        logger.info("resumed after update %d", engine.state.iteration)
    with tracked:
        with saver:
            if engine.state.iteration < len(stream):
                engine.run(stream, max_epochs=1, epoch_length=len(stream))
        finish(trainer.average, last.content)


class _Last:
    """What the last validation has measured, as a checkpoint keeps it."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"content": json.dumps(self.content)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.content = json.loads(state["content"])


class _Progress:
    """A line now and then: the mean loss since the last one, and the time left."""

    def __init__(self, total: int, *, every_seconds: float) -> None:
        self.total = total
        self.every_seconds = every_seconds
        self.losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.begin)
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.show)

    def begin(self, engine: Engine) -> None:
        self.before = engine.state.iteration
        self.started = self.line = time.monotonic()

    def show(self, engine: Engine) -> None:
        done, now = engine.state.iteration, time.monotonic()
        self.losses.append(_output(engine)["loss"])
        if now - self.line >= self.every_seconds or done == self.total:
            left = (now - self.started) / (done - self.before) * (self.total - done)
            mean = sum(self.losses) / len(self.losses)
            logger.info("update %d/%d: loss %.4f, %s left", done, self.total, mean, duration(left))
            self.line, self.losses = now, []


def _output(engine: Engine) -> dict[str, Any]:
    return engine.state.output  # type: ignore[return-value]
