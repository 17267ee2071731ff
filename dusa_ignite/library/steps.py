"""An Ignite engine driven from outside, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable

from ignite.engine import Engine, Events

from dusa_ignite.engine import Batch, Output, create_adaptation_engine, output_of


class Steps:
    """The one endless epoch of an adaptation engine, of which every call is an iteration.

    ``Engine.run`` asks a data loader for batches and returns when there are no more; here batches come when somebody
    has images. A call does what ``Engine.run`` does between two batches, in the same order, with the same state: the
    iteration is counted, ``ITERATION_STARTED`` fires, the update is made, ``ITERATION_COMPLETED`` fires (and with it
    the package's own events). So handlers are attached as to any engine, filters such as ``every=100`` count as
    always, and the numbers are those of a run. (``run([batch])`` once per batch would count iterations from 1 each
    time, and begin and end an epoch and a run with every batch; a thread with ``run`` over a queue would take errors
    away from the caller.) ``STARTED`` and ``EPOCH_STARTED`` fire once, before the first batch; there is no end, so
    ``EPOCH_COMPLETED`` and ``COMPLETED`` never fire, and ``engine.terminate()`` has no effect. What a handler or the
    update raises reaches the caller.

    Args:
        update: as for :func:`dusa_ignite.engine.create_adaptation_engine`.
    """

    def __init__(self, update: Callable[[Engine, Batch], Output]) -> None:
        self.update = update
        self.engine = create_adaptation_engine(update)
        self.begun = False

    def __call__(self, batch: Batch) -> Output:
        """One iteration; returns what the handlers have left in ``engine.state.output``."""
        engine, state = self.engine, self.engine.state
        if not self.begun:
            self.begun = True
            state.epoch = 1
            engine.fire_event(Events.STARTED)
            engine.fire_event(Events.EPOCH_STARTED)
        state.batch, state.output = batch, None  # type: ignore[assignment]
        state.iteration += 1
        engine.fire_event(Events.ITERATION_STARTED)
        state.output = self.update(engine, state.batch)  # type: ignore[assignment, arg-type]
        engine.fire_event(Events.ITERATION_COMPLETED)
        return output_of(engine)

    def begin_again(self) -> None:
        """As if nothing had been met yet; handlers stay attached."""
        self.begun = False
        self.engine.state.metrics = {}
        self.load_state_dict({"iteration": 0, "task_number": 0})

    def state_dict(self) -> dict[str, int]:
        """What it goes on from."""
        state = self.engine.state
        return {"iteration": state.iteration, "task_number": getattr(state, "task_number", 0)}

    def load_state_dict(self, counts: dict[str, int]) -> None:
        """Go on from there."""
        self.engine.state.iteration = counts["iteration"]
        self.engine.state.task_number = counts["task_number"]  # type: ignore[attr-defined]
