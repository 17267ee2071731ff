"""Says so when adaptation does harm, and can undo it; it needs no labels."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from typing import Any, Literal

import ignite.distributed as idist
from ignite.engine import Engine, Events
from pydantic import Field

from dusa_ignite.engine import Batch, Output, TaskEvents, batch_of, output_of
from dusa_ignite.handlers.harm_signals import HarmWindow, batch_sums
from dusa_ignite.handlers.harm_signs import SignOptions, signs
from dusa_ignite.handlers.task_reset import TaskReset
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import predict
from dusa_ignite.models.views import to_float

logger = logging.getLogger(__name__)


class MonitorOptions(SignOptions):
    """Signs, without labels, that adaptation does harm; also predicts every image with the source model."""

    action: Literal["warn", "stop", "rollback", "off"] = Field(
        default="warn",
        description="warn = say it | rollback = back to the last state that was well | stop = no more updates in the "
        "task, the source model predicts the rest | off = look at nothing",
    )
    window: int = Field(default=200, ge=1, le=10**6, description="images that are looked at, the newest, >= 1")


class HarmMonitor:
    """Predicts every batch with the source model, compares, and warns when a sign of harm begins and when it has ended.

    A sign (see :mod:`dusa_ignite.handlers.harm_signs`) is looked for after every update, once the task has had
    ``window`` images. It has ended when it was not there for as many images. The source model's logits are put into the
    output as ``source_y_pred``; ``engine.state.metrics["warnings"]`` counts the warnings of the task so far, and
    ``["rollbacks"]`` what ``action`` has done about them. Attach it before the metrics, in every process.

    A state was well if no sign has begun while ``window`` images followed it; there is one such state at most, and a
    younger one that has yet to prove itself. Both lie in host memory.

    Args:
        source: predicts as the source model does; nothing trains it.
        options: what is looked at, and what is done about it.
        micro_batch_size: images predicted at once, >= 1.
        keeps_learning: whether tasks go on with what earlier ones have learnt.

    Example:
        >>> monitor = HarmMonitor(source, options=MonitorOptions(), micro_batch_size=8)
        >>> engine = create_adaptation_engine(monitor.around(method))
        >>> monitor.attach(engine)
    """

    def __init__(
        self,
        source: Classifier,
        *,
        options: MonitorOptions,
        micro_batch_size: int,
        keeps_learning: bool = False,
    ) -> None:
        self.source = source
        self.options = options
        self.micro_batch_size = micro_batch_size
        self.keeps_learning = keeps_learning
        self.window = HarmWindow(size=options.window, num_classes=source.num_classes)
        self.well_for: dict[str, int] = {}  # images since a sign was last there, by the signs that a warning stands for
        self.counts = {"warnings": 0, "rollbacks": 0} if self.acts else {"warnings": 0}
        self.stopped = False
        self.well: TaskReset | None = None  # None: the source model's
        self.younger: TaskReset | None = None
        self.younger_for = 0  # images that have followed it
        self._logits: Any = None

    @property
    def acts(self) -> bool:
        """Whether it changes what is learnt, and so needs the source model's state."""
        return self.options.action in ("stop", "rollback")

    def around(self, update: Callable[[Engine, Batch], Output]) -> Callable[[Engine, Batch], Output]:
        """The update while nothing has been stopped; then the source model's predictions in its place."""

        def update_or_source(engine: Engine, batch: Batch) -> Output:
            if not self.stopped:
                return update(engine, batch)
            labels = batch["labels"].to(self._logits.device)
            return {"y_pred": self._logits, "y": labels, "loss": math.nan, "diagnostics": {"skipped_update": 0.0}}

        return update_or_source

    def attach(self, engine: Engine, source_state: TaskReset | None = None) -> None:
        """Predict before every update, look after it.

        Args:
            engine: of the run.
            source_state: restores everything stateful to the source model's; needed where it :attr:`acts`.
        """
        self.source_state = source_state
        engine.add_event_handler(TaskEvents.TASK_STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_STARTED, self.predict)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.look)

    def begin(self) -> None:
        """Begin with a task."""
        self.window.clear()
        self.well_for.clear()
        self.counts = dict.fromkeys(self.counts, 0)
        self.stopped = False
        if not self.keeps_learning:
            self.well = self.younger = None

    def predict(self, engine: Engine) -> None:
        """Predict the batch at hand as the source model does."""
        parameter = next(self.source.parameters())
        images = to_float(batch_of(engine)["images"], device=parameter.device, dtype=parameter.dtype)
        self._logits = predict(self.source, images, micro_batch_size=self.micro_batch_size)

    def look(self, engine: Engine) -> None:
        """Look at the update at hand, and do what there is to do."""
        output = output_of(engine)
        output["source_y_pred"] = self._logits
        if not self.stopped:
            batch = batch_sums(output, self.source.num_classes)
            self.window.add(batch)
            self._judge(engine, output, images=int(batch[0]))
        engine.state.metrics |= self.counts

    def _judge(self, engine: Engine, output: Output, *, images: int) -> None:
        signals = self.window.signals()
        if signals is None:
            return
        output["diagnostics"] |= {f"window_{name}": value for name, value in signals._asdict().items()}
        present = signs(signals, self.options, images=self.window.images)
        begun = [text for name, text in present.items() if name not in self.well_for]
        for text in begun:
            self.counts["warnings"] += 1
            self._say(engine, text)
        self._end(engine, present.keys(), images)
        output["diagnostics"]["window_warning"] = float(bool(self.well_for))
        if begun and self.acts:
            self._undo(engine)
        elif self.options.action == "rollback":
            self._remember(images)

    def _end(self, engine: Engine, present: Any, images: int) -> None:
        """End the warnings whose sign has not been there for a window's images."""
        self.well_for = {name: since + images for name, since in self.well_for.items()} | dict.fromkeys(present, 0)
        for name in [name for name, since in self.well_for.items() if since >= self.options.window]:
            del self.well_for[name]
            self._say(engine, f"{name} is well again")

    def _undo(self, engine: Engine) -> None:
        """Go back to a state that was well, or to the source model's for the rest of the task."""
        assert self.source_state is not None, "attach it with the source model's state"
        state = self.source_state if self.options.action == "stop" else self.well or self.source_state
        state.reset()
        self.counts["rollbacks"] += 1
        self.stopped = self.options.action == "stop"
        what = "back to the source model" if state is self.source_state else "back to the last state that was well"
        self._say(engine, what + ", which predicts the rest of the task" * self.stopped)
        self.window.clear()
        self.well_for.clear()
        self.younger = None

    def _remember(self, images: int) -> None:
        """Keep a state for each window's images; the one before it has proved to be well."""
        assert self.source_state is not None, "attach it with the source model's state"
        self.younger_for += images
        if self.well_for or (self.younger is not None and self.younger_for < self.options.window):
            return
        self.well = self.younger
        self.younger, self.younger_for = TaskReset(self.source_state.stateful), 0

    def _say(self, engine: Engine, text: str) -> None:
        if idist.get_rank() == 0:
            batch, images = batch_of(engine), engine.state.iteration
            logger.warning("monitor: %s, update %d: %s", batch["task"], images, text)

    def state_dict(self) -> dict[str, Any]:
        """What it goes on from."""
        return {
            "window": self.window.state_dict(),
            "well_for": dict(self.well_for),
            "counts": dict(self.counts),
            "stopped": self.stopped,
            "well": self.well and self.well.snapshot,
            "younger": self.younger and self.younger.snapshot,
            "younger_for": self.younger_for,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self.window.load_state_dict(state["window"])
        self.well_for, self.counts = dict(state["well_for"]), dict(state["counts"])
        self.stopped, self.younger_for = state["stopped"], state["younger_for"]
        self.well, self.younger = self._snapshot(state["well"]), self._snapshot(state["younger"])

    def _snapshot(self, content: Any) -> TaskReset | None:
        if content is None:
            return None
        assert self.source_state is not None, "attach it with the source model's state"
        snapshot = copy.copy(self.source_state)
        snapshot.snapshot = content
        return snapshot
