"""A learner that several threads share: one lock, pauses, and what the newest call said."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.engine import Output
from dusa_ignite.library.incoming import Numbers, checked_images
from dusa_ignite.library.learner import Learner


class SharedLearner:
    """What can be done with an :class:`dusa_ignite.Adapter` once it is made.

    There is one lock: batches are met one after the other, and a prediction waits for the update that is under way.

    Args:
        learner: from now on nobody else's.

    Attributes:
        task: the name of the task where none is given with the images; with the seed it keys the noise.
    """

    def __init__(self, learner: Learner) -> None:
        self.task = "stream"
        self._learner = learner
        self._lock = threading.RLock()  # a handler, called within, may predict
        self._paused, self._pauses = False, 0
        self._newest = threading.local()

    @property
    def engine(self) -> Engine:
        """Ignite's; attach any handler, best before the first batch; :mod:`dusa_ignite.library.steps` on its events."""
        return self._learner.engine

    # Images in, logits out

    def __call__(
        self,
        images: torch.Tensor | Sequence[torch.Tensor],
        *,
        index: Numbers | None = None,
        task: str | None = None,
        labels: Numbers | None = None,
        last: bool = False,
    ) -> torch.Tensor:
        """Predict a batch, then learn from it; while adaptation is paused, only predict.

        Args:
            images: uint8, or float in [0, 1]: (B, 3, H, W), or (B, 1, H, W) for grey, or a list of such images of any
                sizes; B >= 1; on any device.
            index: (B,) what the images' noise is drawn from; ``None`` = their number in the task, 0, 1, 2, ...
            task: another name than before begins a task: the setting's reset, numbers from 0; ``None`` = :attr:`task`.
            labels: (B,) for metrics that are attached to the engine, -1 = unknown; the method does not see them.
            last: the task ends with this batch: ``TASK_COMPLETED`` fires, and the next batch begins a task.

        Returns:
            (B, C) logits on the classifier's device: the predictions that count, as in a run. What else an update
            says is in :attr:`output`.

        Raises:
            DataError: the images cannot be used; then nothing has happened.
        """
        checked = checked_images(images)
        with self._alone():
            if self.is_paused:
                output = self._learner.predict(checked)
            else:
                task = self.task if task is None else task
                output = self._learner.learn(checked, task=task, index=index, labels=labels, last=last)
        self._newest.output = output
        return output["y_pred"]

    def predict(self, images: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, C) logits of images as a call takes them; nothing is learnt, counted or remembered.

        Raises:
            DataError: the images cannot be used.
        """
        checked = checked_images(images)
        with self._alone():
            return self._learner.logits(checked)

    @property
    def output(self) -> Output | None:
        """All that the newest call *of this thread* said (loss, diagnostics, ...), see :class:`Output`."""
        return getattr(self._newest, "output", None)

    @property
    def source_logits(self) -> torch.Tensor | None:
        """(B, C) of the newest call *of this thread*, by the source model; ``None`` where the monitor is off."""
        output = self.output
        return None if output is None else output.get("source_y_pred")

    @property
    def images(self) -> int:
        """How many have been learnt from, since the beginning or the last reset."""
        return self._learner.position.images

    @property
    def warnings(self) -> dict[str, str]:
        """What is wrong at the moment, by its name, in words; empty where all seems well or the monitor is off.

        See docs/monitoring.md. They are logged, too, as they begin and end.
        """
        monitor = self._learner.parts.monitor
        with self._lock:
            return {} if monitor is None else monitor.active

    # Pausing and resetting

    @property
    def is_paused(self) -> bool:
        """Whether calls only predict."""
        return self._paused or self._pauses > 0

    def pause(self) -> None:
        """From now on calls only predict, and count nothing; the update that is under way is waited for."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        """Calls learn again."""
        with self._lock:
            self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Paused within the block, for all threads."""
        with self._lock:
            self._pauses += 1
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1

    def reset(self) -> None:
        """Back to the source model, as if no image had been met; the next is number 0 again. Handlers stay attached."""
        with self._alone():
            self._learner.reset()

    # Keeping

    def state_dict(self) -> dict[str, Any]:
        """What has been learnt and where the stream is: tensors in host memory, plain values; no frozen weights."""
        with self._lock:
            return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there, bit for bit.

        Raises:
            CheckpointError: another version wrote it, or an adapter that was made of something else.
        """
        with self._alone():
            self._learner.load_state_dict(state)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time, and no matter what the caller's thread has set torch to."""
        autocast = torch.autocast(self._learner.parts.method.device.type, enabled=False)
        with self._lock, torch.inference_mode(False), torch.enable_grad(), autocast:
            yield
