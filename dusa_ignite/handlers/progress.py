"""How far a run is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time

from ignite.engine import Engine, Events
from tqdm import tqdm

from dusa_ignite.engine import TaskEvents, batch_of

logger = logging.getLogger(__name__)


class Progress:
    """Shows the task, its accuracy and images per second so far, and the time left. Attach it behind the metrics and
    :class:`dusa_ignite.handlers.TaskResults`.

    On a terminal a bar per run, elsewhere a log line every ``every_seconds`` and at each task's end.

    Args:
        total: updates of the whole run.
        every_seconds: between plain lines.
        bar: whether to draw a bar; ``None`` = if standard error is a terminal.

    Example:
        >>> Progress(total=len(stream)).attach(engine)
    """

    def __init__(self, *, total: int, every_seconds: float = 10.0, bar: bool | None = None) -> None:
        self.total = total
        self.every_seconds = every_seconds
        self.use_bar = sys.stderr.isatty() if bar is None else bar

    def attach(self, engine: Engine) -> None:
        """Show after every update."""
        engine.add_event_handler(Events.STARTED, self.begin)
        engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.show)
        engine.add_event_handler(Events.COMPLETED, self.end)

    def begin(self, engine: Engine) -> None:
        """Start the clock."""
        self.started = self.last_line = time.monotonic()
        self.updates_before = engine.state.iteration
        self.bar = None
        if self.use_bar:
            self.bar = tqdm(total=self.total, initial=self.updates_before, unit="update", dynamic_ncols=True)

    def show(self, engine: Engine) -> None:
        """Show the update at hand."""
        batch, metrics = batch_of(engine), engine.state.metrics
        now = time.monotonic()
        numbers = f"top-1 so far {100 * metrics['top1']:.1f}%, {metrics['images_per_second']:.1f} images/s"
        if self.bar is not None:
            self.bar.set_description(batch["task"], refresh=False)
            self.bar.set_postfix_str(numbers, refresh=False)
            self.bar.update()
        elif batch["last"] or now - self.last_line >= self.every_seconds:
            self.last_line = now
            done = engine.state.iteration
            left = (now - self.started) / (done - self.updates_before) * (self.total - done)
            logger.info("%s: update %d/%d, %s, %s left", batch["task"], done, self.total, numbers, _clock(left))

    def end(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
