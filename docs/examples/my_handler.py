"""A handler of your own, in a script of your own: which classes a model predicts, and an end to runs that collapse.

python docs/examples/my_handler.py configs/digits.yaml data.limit=64 method.name=tent
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from ignite.engine import Engine, Events

from dusa_ignite import TaskEvents, create_adaptation_engine, load_config
from dusa_ignite.data.digits import CLASSES
from dusa_ignite.handlers import TaskReset
from dusa_ignite.runs.assemble import assemble


class ClassShares:
    """Prints after every task how often each class was predicted; ends the run where nearly all images got the same.

    Args:
        classes: their names.
        collapsed: the share of one class, in (0, 1], from which on the run ends.
    """

    def __init__(self, classes: Sequence[str], *, collapsed: float = 0.95) -> None:
        self.classes = classes
        self.collapsed = collapsed
        self.counts = torch.zeros(len(classes), dtype=torch.int64)

    def attach(self, engine: Engine) -> None:
        """Like all of Ignite's handlers."""
        engine.add_event_handler(TaskEvents.TASK_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.count)
        engine.add_event_handler(TaskEvents.TASK_COMPLETED, self.report)

    def start(self) -> None:
        """Another task, another count."""
        self.counts.zero_()

    def count(self, engine: Engine) -> None:
        """The engine's output is dusa_ignite.engine.Output: y_pred are logits (B, C)."""
        predicted = engine.state.output["y_pred"].argmax(dim=1).cpu()  # type: ignore[index]
        self.counts += predicted.bincount(minlength=len(self.classes))

    def report(self, engine: Engine) -> None:
        """Two lines at most."""
        shares = self.counts / self.counts.sum()
        print(f"{engine.state.task}: " + ", ".join(f"{n} {s:.0%}" for n, s in zip(self.classes, shares, strict=True)))
        if shares.max() >= self.collapsed:
            print(f"{engine.state.task}: the model has collapsed to class {self.classes[int(shares.argmax())]}")
            engine.terminate()


def main(path: str, overrides: Sequence[str]) -> None:
    """A run without a folder: it writes nothing but what its handlers write."""
    parts = assemble(load_config(path, overrides))
    engine = create_adaptation_engine(parts.method)
    if parts.resets == "task":  # a run of the package does this, too; see dusa_ignite/runs/adapt.py
        TaskReset(parts.stateful).attach(engine, TaskEvents.TASK_STARTED)
    ClassShares(CLASSES).attach(engine)
    engine.run(parts.stream, max_epochs=1, epoch_length=len(parts.stream))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
