"""One variant measured: built, updated until its time is over, compared, and freed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.distributed.rank_zero import on_rank_zero
from dusa_ignite.errors import ConfigError, UserError
from dusa_ignite.runs.bench.first_update import FirstUpdate, first_update, gradient_differences, loss_difference
from dusa_ignite.runs.bench.flops import flops_of, footprint_of
from dusa_ignite.runs.bench.machine import CeilingNow
from dusa_ignite.runs.bench.models import Built, build, classifier_precision, guide_precision
from dusa_ignite.runs.bench.row import Row
from dusa_ignite.runs.bench.timing import Spread, forget_peaks, peak_memory, repeated, seconds
from dusa_ignite.runs.bench.variants import TEXTBOOK, Variant
from dusa_ignite.runs.memory_check import check_memory, explained
from dusa_ignite.runs.micro_batches import resolved

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How variants are measured.

    Attributes:
        seconds: for which updates are repeated, after those that are not counted.
        updates: as many are made instead; ``None`` = until the time is over, at least three.
        pixels: the side of the random images.
        size: of the matrices whose product is the ceiling: ``tiny``, ``small`` or ``full``.
    """

    seconds: float
    updates: int | None
    pixels: int
    size: str


Load = Callable[[Variant], Config]
Afterwards = Callable[[Config, Built, Row], None]


def measure_variant(
    variant: Variant,
    load: Load,
    plan: Plan,
    *,
    reference: FirstUpdate | None = None,
    afterwards: Afterwards | None = None,
) -> tuple[Row, FirstUpdate | None]:
    """A row of numbers, or of the reason why there are none; and the first update, if there was one.

    Args:
        variant: which.
        load: returns its config.
        plan: how.
        reference: the first update that this one's is compared with.
        afterwards: called with what was built, when the updates have been made; what it raises is the row's error too.
    """
    row = Row(variant.name, variant.overrides)
    first = None
    config = None
    with _as_error(row):
        config = _reckoned(resolved(load(variant), whole_run=False), row)
    if config is not None:
        with _as_error(row, everywhere=ConfigError):
            first = _measured(config, row, plan, textbook=variant.name == TEXTBOOK, afterwards=afterwards)
            if reference is not None:
                row.loss_difference = loss_difference(first, reference)
                row.gradient_differences = gradient_differences(first, reference)
    torch.compiler.reset()  # compiled blocks of this variant's models are of no use to the next one's
    forget_peaks()
    return row, first


@contextmanager
def _as_error(row: Row, *, everywhere: type[Exception] = Exception) -> Iterator[None]:
    """What is raised, be it a compiler's or a driver's, is the row's error, and the other variants go on.

    Of several processes one alone may have failed, and the others wait for it in vain if it goes on: there only errors
    of the type ``everywhere`` count, which all of them raise.
    """
    try:
        yield
    except Exception as error:
        if idist.get_world_size() > 1 and not isinstance(error, everywhere):
            raise
        lines = str(error).strip().splitlines()
        row.error = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {(lines or [''])[0]}"
        logger.debug("variant %s", row.name, exc_info=error)


def _measured(config: Config, row: Row, plan: Plan, *, textbook: bool, afterwards: Afterwards | None) -> FirstUpdate:
    with explained(config, whole_run=False):
        built = build(config, pixels=plan.pixels, textbook=textbook)
        if built.optimizer is not None:
            row.trained_parameters = sum(p.numel() for group in built.optimizer.param_groups for p in group["params"])
        known = forget_peaks()
        first: list[FirstUpdate] = []
        row.first_update = seconds(lambda: first.append(first_update(built)))
        row.loss = first[0].loss
        ceiling = CeilingNow(row.precision, idist.device(), size=plan.size)

        def between() -> None:
            if known and row.peak_memory is None:  # before the ceiling's matrices, which the update does not need
                row.peak_memory = peak_memory()
            ceiling.measure()

        spread = _updates(built, plan, further=config.run.compile != "off", between=between)
        if known and row.peak_memory is None:
            row.peak_memory = peak_memory()
        if spread is not None:
            _tell(row, spread, ceiling=ceiling.median)
        if afterwards is not None:
            afterwards(config, built, row)
    return first[0]


def _updates(built: Built, plan: Plan, *, further: bool, between: Callable[[], None]) -> Spread | None:
    if plan.updates == 0:
        return None
    update = lambda: built.method(None, built.batch)  # noqa: E731
    if further:  # the way back of compiled blocks has been compiled by now; this fills caches
        update()
    least = 3 if plan.updates is None else plan.updates
    return repeated(update, limit=plan.seconds, least=least, most=plan.updates, between=between)


def _reckoned(config: Config, row: Row) -> Config:
    """What the update's memory and work come to, from shapes; in all processes alike."""
    row.batch_size, row.micro_batch_size = config.data.batch_size, int(config.data.micro_batch_size)
    memory = on_rank_zero(lambda: check_memory(config, refuse=config.run.memory_check, whole_run=False))
    row.estimate = memory.needs[0].total if memory.needs else None
    footprint = footprint_of(config)
    row.precision = classifier_precision(config)
    if config.transformer is not None and any(footprint.predictions):
        row.guide_work = footprint.guide_work(learns=config.transformer.trainable)
        row.precision = guide_precision(config)
    row.tflop_per_image = flops_of(config).update(footprint) / 1e12
    return config


def _tell(row: Row, spread: Spread, *, ceiling: float) -> None:
    low, high = spread.quartiles
    row.seconds, row.updates = (spread.median, low, high), len(spread.times)
    row.images_per_second = (row.batch_size / spread.median, row.batch_size / high, row.batch_size / low)
    row.ceiling = ceiling
    if row.tflop_per_image is not None:
        each = 1e12 * row.tflop_per_image * row.images_per_second[0] / idist.get_world_size()
        row.of_ceiling = each / ceiling


def describe_device() -> str:
    """The device that is measured."""
    device = idist.device()
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
