"""The training loop of pre-training: AdamW, warm-up and cosine decay, averaged weights, validation, progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import CosineAnnealingScheduler, EMAHandler, create_lr_scheduler_with_warmup
from ignite.metrics import Average, Metric
from torch import nn

from dusa_ignite.pretraining.config import Training

logger = logging.getLogger(__name__)

Labelled = tuple[torch.Tensor, torch.Tensor]
"""Float RGB in [0, 1] (B, 3, H, W) and labels (B,) int64."""


def train(
    model: nn.Module,
    *,
    loss: Callable[[Labelled], torch.Tensor],
    batches: Iterator[Labelled],
    validate: Callable[[nn.Module], dict[str, float]],
    options: Training,
    log_every_seconds: float,
) -> tuple[nn.Module, dict[str, float]]:
    """Train a model and average its weights on the way.

    Args:
        model: trained in place.
        loss: a batch's loss, which goes through ``model``.
        batches: training batches without end.
        validate: metrics of the averaged model, taken every ``options.validate_every`` updates and at the end.
        options: the optimizer's and the schedule's.
        log_every_seconds: between progress lines.

    Returns:
        The averaged model in eval mode; and its last validation metrics, ``training_loss`` (mean over all updates) and
        ``seconds``.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)

    def update(engine: Engine, batch: Labelled) -> float:
        model.train()
        batch_loss = loss(batch)
        optimizer.zero_grad()
        batch_loss.backward()
        optimizer.step()
        return batch_loss.item()

    trainer = Engine(update)
    cosine = CosineAnnealingScheduler(
        optimizer, "lr", options.lr, 0.0, cycle_size=options.iterations - options.warmup + 1
    )
    schedule = create_lr_scheduler_with_warmup(cosine, warmup_start_value=0.0, warmup_duration=options.warmup)
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
    ema = EMAHandler(model, momentum=1 - options.ema_decay)  # Ignite's momentum is the new weights' share
    ema.attach(trainer)
    Average(output_transform=float).attach(trainer, "loss")
    started = last_line = time.monotonic()
    metrics: dict[str, float] = {}

    def measure(engine: Engine) -> None:
        metrics.update(validate(ema.ema_model))
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        logger.info("update %d/%d: validation %s", engine.state.iteration, options.iterations, numbers)

    def show(engine: Engine) -> None:
        nonlocal last_line
        done, now = engine.state.iteration, time.monotonic()
        if now - last_line >= log_every_seconds:
            last_line = now
            left = (now - started) / done * (options.iterations - done)
            logger.info("update %d/%d: loss %.4f, %.0f s left", done, options.iterations, engine.state.output, left)

    trainer.add_event_handler(Events.ITERATION_COMPLETED, show)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=options.validate_every), measure)
    if options.iterations % options.validate_every:
        trainer.add_event_handler(Events.COMPLETED, measure)
    trainer.run(batches, max_epochs=1, epoch_length=options.iterations)
    return ema.ema_model.eval(), {
        **metrics,
        "training_loss": trainer.state.metrics["loss"],
        "seconds": time.monotonic() - started,
    }


def evaluate(
    model: nn.Module,
    *,
    predict: Callable[[nn.Module, Labelled], Any],
    metrics: dict[str, Metric],
    data: Labelled,
    batch_size: int = 256,
) -> dict[str, float]:
    """The metrics of what ``model``, in eval mode, predicts for all images."""

    @torch.no_grad()
    def step(engine: Engine, batch: Labelled) -> Any:
        return predict(model, batch)

    model.eval()
    evaluator = Engine(step)
    for name, metric in metrics.items():
        metric.attach(evaluator, name)
    parts = (part.split(batch_size) for part in data)
    return {name: float(value) for name, value in evaluator.run(list(zip(*parts, strict=True))).metrics.items()}
