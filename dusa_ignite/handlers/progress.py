"""How far a run is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import math
import os
import sys
import time

from ignite.engine import Engine, Events
from tqdm import tqdm

from dusa_ignite.engine import TaskEvents, batch_of
from dusa_ignite.results.score import score_of

logger = logging.getLogger(__name__)


class Progress:
    """Shows the task, its accuracy and images per second so far, and the time left. Attach it behind the metrics and
    :class:`dusa_ignite.handlers.TaskResults`.

    A log line at each task's end; and on a terminal a bar per run, elsewhere also a log line every ``every_seconds``.
    However the run ends, the bar is closed, so that what is printed next has a line of its own.

    Args:
        total: updates of the whole run.
        every_seconds: between plain lines.
        bar: whether to draw a bar; ``None`` = if standard error is a terminal with room for one.

    Example:
        >>> Progress(total=len(stream)).attach(engine)
    """

    def __init__(self, *, total: int, every_seconds: float = 10.0, bar: bool | None = None) -> None:
        self.total = total
        self.every_seconds = every_seconds
        self.use_bar = _room_for_a_bar() if bar is None else bar
        self.bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Show after every update."""
        engine.add_event_handler(Events.STARTED, self.begin)
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.show)
        for event in (Events.COMPLETED, Events.TERMINATE, Events.INTERRUPT):
            engine.add_event_handler(event, self.end)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def begin(self, engine: Engine) -> None:
        """Start the clock."""
        self.started = self.last_line = time.monotonic()
        self.updates_before = engine.state.iteration
        self._open(self.updates_before)

    def show(self, engine: Engine) -> None:
        """Show the update at hand."""
        batch, metrics = batch_of(engine), engine.state.metrics
        now, done = time.monotonic(), engine.state.iteration
        numbers = f"{metrics['images_per_second']:.1f} images/s"
        score = score_of(metrics)
        if math.isfinite(metrics[score.column]):  # without labels it is NaN
            numbers = f"{score.title} so far {100 * metrics[score.column]:.1f}%, {numbers}"
        if self.use_bar:
            bar = self.bar or self._open(done - 1)  # an interrupted run goes on without STARTED
            bar.set_description(batch["task"], refresh=False)
            bar.set_postfix_str(numbers, refresh=False)
            bar.update()
        if batch["last"] or (not self.use_bar and now - self.last_line >= self.every_seconds):
            self.last_line = now
            left = (now - self.started) / (done - self.updates_before) * (self.total - done)
            logger.info("%s: update %d/%d, %s, %s left", batch["task"], done, self.total, numbers, _clock(left))

    def end(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def fail(self, error: BaseException) -> None:
        """Close the bar, and let the error go on: Ignite takes one that a handler returns from for dealt with."""
        self.end()
        raise error

    def _open(self, done: int) -> tqdm:
        if self.use_bar:
            self.bar = tqdm(total=self.total, initial=done, unit="update", dynamic_ncols=True)
        return self.bar


def _room_for_a_bar() -> bool:
    """Whether standard error is a terminal; those of some schedulers and containers have no rows and columns."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # no terminal, or no file at all
        return False
    return size.columns > 0 and size.lines > 0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
