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

from dusa_ignite.engine import Batch, Output, TaskEvents, batch_of, labels_on, output_of
from dusa_ignite.handlers.harm_signals import COUNTS, HarmWindow, batch_sums, signals
from dusa_ignite.handlers.harm_signs import SignOptions, Warnings, signs
from dusa_ignite.handlers.task_reset import TaskReset
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import predict
from dusa_ignite.models.views import to_float

logger = logging.getLogger(__name__)

LONGER = 5  # windows: the vote's span; and a sign lasts for a fifth of its span before it is warned of


class MonitorOptions(SignOptions):
    """Signs, without labels, that adaptation does harm; every image is also predicted with the source model."""

    action: Literal["warn", "stop", "rollback", "off"] = Field(
        default="warn",
        description="warn = say it | rollback = back to the last state that was well | stop = no more updates in the "
        "task, the source model predicts the rest | off = look at nothing",
    )
    window: int = Field(
        default=200,
        ge=1,
        le=10**6,
        description="images that are looked at, the newest; for the vote 5 times as many",
    )


class HarmMonitor:
    """Predicts every batch with the source model, compares, and warns when signs of harm begin and when they end.

    Signs (:mod:`dusa_ignite.handlers.harm_signs`) are looked for after every update, from the task's image number
    ``window`` on. The source model's logits are put into the output as ``source_y_pred``, and what was measured into
    its diagnostics as ``window_<name>``. ``engine.state.metrics["warnings"]`` counts the warnings of the task so far,
    ``["rollbacks"]`` what ``action`` has done about them. Attach it before the metrics, in every process.

    A state was well if no sign was there while ``window`` images followed it. One such state is kept, and a younger
    one that has yet to prove itself, both in host memory.

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
        self, source: Classifier, *, options: MonitorOptions, micro_batch_size: int, keeps_learning: bool = False
    ) -> None:
        self.source = source
        self.options = options
        self.micro_batch_size = micro_batch_size
        self.keeps_learning = keeps_learning
        window = options.window
        self.recent = HarmWindow(size=window, length=len(COUNTS) + 2 * source.num_classes)
        self.long = HarmWindow(size=LONGER * window, length=len(COUNTS))
        patience = dict.fromkeys(("guide", "collapse", "skipped"), window // LONGER) | {"vote": window}
        self.warnings = Warnings(patience=patience, window=window)
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

    @property
    def active(self) -> dict[str, str]:
        """What is warned of at the moment, by its name, in words; empty where all seems well."""
        if self.stopped:
            return {"stopped": "adaptation did harm and has ended; the source model predicts the rest of the task"}
        if not self.warnings.active:
            return {}
        present = signs(signals(self.recent.sums, self.long.sums), self.options)
        gone = "the sign is gone, but not for long enough yet"
        return {name: present.get(name, gone) for name in self.warnings.active}

    def around(self, update: Callable[[Engine, Batch], Output]) -> Callable[[Engine, Batch], Output]:
        """The update; where it has been stopped, the source model's predictions in its place."""

        def update_or_source(engine: Engine, batch: Batch) -> Output:
            if not self.stopped:
                return update(engine, batch)
            labels = labels_on(self._logits.device, batch["labels"])
            return {"y_pred": self._logits, "y": labels, "loss": math.nan, "diagnostics": {"skipped_update": 0.0}}

        return update_or_source

    def attach(self, engine: Engine, source_state: TaskReset | None = None) -> None:
        """Predict before every update, look after it.

        Args:
            engine: of the run.
            source_state: restores everything stateful to the source model's.

        Raises:
            ValueError: it is missing, but the monitor :attr:`acts`.
        """
        if self.acts and source_state is None:
            raise ValueError(f"action={self.options.action!r} needs the source model's state")
        self.source_state: Any = source_state
        engine.add_event_handler(TaskEvents.TASK_STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_STARTED, self.predict)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.look)

    def begin(self) -> None:
        """Begin with a task."""
        self._look_anew()
        self.counts = dict.fromkeys(self.counts, 0)
        self.stopped = False
        if not self.keeps_learning:
            self.well = None

    def predict(self, engine: Engine) -> None:
        """Predict the batch at hand as the source model does."""
        self._logits = self.source_logits(batch_of(engine))

    def source_logits(self, batch: Batch) -> Any:
        """(B, C), as the source model predicts."""
        parameter = next(self.source.parameters())
        images = to_float(batch["images"], device=parameter.device, dtype=parameter.dtype)
        return predict(self.source, images, micro_batch_size=self.micro_batch_size)

    def look(self, engine: Engine) -> None:
        """Look at the update at hand, and do what there is to do."""
        output = output_of(engine)
        output["source_y_pred"] = self._logits
        if not self.stopped:
            batch = batch_sums(output, self.source.num_classes)
            self.recent.add(batch)
            self.long.add(batch[: len(COUNTS)])
            if self.recent.images >= self.options.window:
                self._judge(engine, output, images=int(batch[0]))
        engine.state.metrics |= self.counts

    def _judge(self, engine: Engine, output: Output, *, images: int) -> None:
        measured = signals(self.recent.sums, self.long.sums)
        present = signs(measured, self.options)
        begun, ended = self.warnings.update(present, images)
        for name in begun:
            self._say(engine, f"{name}: {present[name]}")
        for name in ended:
            self._say(engine, f"{name}: well again")
        self.counts["warnings"] += len(begun)
        output["diagnostics"] |= {f"window_{name}": value for name, value in measured._asdict().items()}
        output["diagnostics"]["window_warnings"] = float(len(self.warnings.active))
        if begun and self.acts:
            self._undo(engine)
        elif self.options.action == "rollback":
            self._remember(images, well=not present)

    def _undo(self, engine: Engine) -> None:
        """Go back to a state that was well, or to the source model's for the rest of the task."""
        self.stopped = self.options.action == "stop"
        state = self.source_state if self.stopped else self.well or self.source_state
        state.reset()
        self.counts["rollbacks"] += 1
        what = "the source model" if state is self.source_state else "the last state that was well"
        self._say(engine, f"back to {what}" + ", which predicts the rest of the task" * self.stopped)
        self._look_anew()

    def _look_anew(self) -> None:
        self.recent.clear()
        self.long.clear()
        self.warnings.clear()
        self.younger = None

    def _remember(self, images: int, *, well: bool) -> None:
        """Keep the state after every window; the one before it has proved to be well, unless a sign is there."""
        if not well:
            self.younger = None
            return
        self.younger_for += images
        if self.younger is None or self.younger_for >= self.options.window:
            self.well = self.younger or self.well
            self.younger, self.younger_for = TaskReset(self.source_state.stateful), 0

    def _say(self, engine: Engine, text: str) -> None:
        if idist.get_rank() == 0:
            logger.warning("monitor: %s, update %d: %s", batch_of(engine)["task"], engine.state.iteration, text)

    def state_dict(self) -> dict[str, Any]:
        """What it goes on from."""
        return {
            "recent": self.recent.state_dict(),
            "long": self.long.state_dict(),
            "warnings": self.warnings.state_dict(),
            "counts": dict(self.counts),
            "stopped": self.stopped,
            "well": self.well and self.well.snapshot,
            "younger": self.younger and self.younger.snapshot,
            "younger_for": self.younger_for,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self.recent.load_state_dict(state["recent"])
        self.long.load_state_dict(state["long"])
        self.warnings.load_state_dict(state["warnings"])
        self.counts, self.stopped = dict(state["counts"]), state["stopped"]
        self.well, self.younger = self._snapshot(state["well"]), self._snapshot(state["younger"])
        self.younger_for = state["younger_for"]

    def _snapshot(self, content: Any) -> TaskReset | None:
        if content is None:
            return None
        snapshot = copy.copy(self.source_state)
        snapshot.snapshot = content
        return snapshot
