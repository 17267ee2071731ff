"""What meets an adapter's batches: engine, method, reset, monitor and averaged norms, with all that they remember."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from typing import Any

import torch
from ignite.engine import Engine, Events

from dusa_ignite.engine import Batch, Output, TaskEvents
from dusa_ignite.handlers import TaskReset
from dusa_ignite.library.incoming import Numbers, Position
from dusa_ignite.library.parts import AdapterParts
from dusa_ignite.library.state_folder import check_state
from dusa_ignite.library.steps import Steps
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.format import FORMAT_VERSION

RESET_EVENTS = {"task": TaskEvents.TASK_STARTED, "batch": Events.ITERATION_STARTED}


class Learner:
    """The parts of an adapter, attached in a run's order. For one thread at a time.

    Args:
        parts: with the source model's weights.
    """

    def __init__(self, parts: AdapterParts) -> None:
        self.parts = parts
        self.position = Position()
        self.source_state = TaskReset(parts.stateful)
        self.steps = Steps(parts.monitor.around(parts.method) if parts.monitor else parts.method)
        if parts.resets in RESET_EVENTS:
            self.source_state.attach(self.engine, RESET_EVENTS[parts.resets])
        if parts.norm_ema is not None:
            parts.norm_ema.attach(self.engine)
        if parts.monitor is not None:
            parts.monitor.attach(self.engine, self.source_state)
        self.fresh_monitor: Any = parts.monitor and copy.deepcopy(parts.monitor.state_dict())

    @property
    def engine(self) -> Engine:
        """That of the steps."""
        return self.steps.engine

    def learn(self, images: Images, *, task: str, index: Numbers | None, labels: Numbers | None, last: bool) -> Output:
        """Predict the next batch, then learn from it; arguments as for :meth:`Position.batch`."""
        batch = self.position.batch(images, task=task, index=index, labels=labels, last=last)
        output = self.steps(batch)
        self.position.go_behind(batch)
        return output

    def predict(self, images: Images) -> Output:
        """Predict, with the source model too where there is a monitor; no more than that."""
        logits = self.logits(images)
        labels = torch.full((len(logits),), -1, device=logits.device)
        output: Output = {"y_pred": logits, "y": labels, "loss": math.nan, "diagnostics": {"skipped_update": 0.0}}
        if self.parts.monitor is not None:
            output["source_y_pred"] = self.parts.monitor.source_logits(_batch_of(images))
        return output

    def logits(self, images: Images) -> torch.Tensor:
        """(B, C): the predictions that count, as things are now."""
        batch = _batch_of(images)
        method, monitor = self.parts.method, self.parts.monitor
        if monitor is not None and monitor.stopped:
            return monitor.source_logits(batch)
        images = to_float(images, device=method.device, dtype=method.dtype)
        if method.trains == "nothing":
            return method.adapt(images, batch).logits
        if self.parts.resets == "batch":  # what one batch has taught is not for another
            self.source_state.reset()
        return method.correct(method.predict(images, method.predictor))

    def reset(self) -> None:
        """As if no image had been met yet."""
        self.source_state.reset()
        if self.parts.monitor is not None:
            self.parts.monitor.load_state_dict(self.fresh_monitor)
        self.position = Position()
        self.steps.begin_again()

    def state_dict(self) -> dict[str, Any]:
        """Everything that has to go on, as tensors in host memory and plain values; frozen weights are left out."""
        monitor = self.parts.monitor
        return {
            "format_version": FORMAT_VERSION,
            "made_of": self.parts.made_of,
            "learnt": TaskReset(self.parts.stateful).snapshot,
            "monitor": monitor and monitor.state_dict(),
            "position": asdict(self.position),
            "engine": self.steps.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state.

        Raises:
            CheckpointError: it is none, of another format, or of an adapter that was made of something else.
        """
        check_state(state, self.parts.made_of)
        learnt = copy.copy(self.source_state)
        learnt.snapshot = state["learnt"]
        learnt.reset()
        if self.parts.monitor is not None:
            self.parts.monitor.load_state_dict(state["monitor"])
        self.position = Position(**state["position"])
        self.steps.begin_again()
        self.steps.load_state_dict(state["engine"])


def _batch_of(images: Images) -> Batch:
    """A batch that belongs to no task."""
    return Position().batch(images, task="", index=None, labels=None)
