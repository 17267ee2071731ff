"""Small tasks, models and whole adaptations that several test files share."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine

from dusa_ignite.data import Task, TaskStream
from dusa_ignite.engine import TaskEvents, batch_of, create_adaptation_engine, output_of
from dusa_ignite.errors import DataError
from dusa_ignite.handlers import NormEMA, TaskReset, TaskResults, attach_metrics, task_metrics
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.losses import Loss
from dusa_ignite.models import Classifier
from dusa_ignite.models.guides.times import uniform
from dusa_ignite.testing.compare import assert_identical, flat, identical, through_a_file
from dusa_ignite.testing.toys import CLASSES, SEED, SIDE, toy_classifier, toy_guide

__all__ = [
    "CLASSES",
    "SEED",
    "SIDE",
    "Adaptation",
    "Images",
    "assert_identical",
    "flat",
    "identical",
    "noise_task",
    "numbered_task",
    "through_a_file",
    "toy_classifier",
    "toy_guide",
    "without_times",
]


class Images:
    """A data set in memory; image ``index`` of a set with ``broken`` positions raises there, as a broken file would."""

    def __init__(self, images: Sequence[torch.Tensor], labels: Sequence[int], broken: Sequence[int] = ()) -> None:
        self.images, self.labels, self.broken = images, labels, broken

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index in self.broken:
            raise DataError(f"image{index}.png: cannot be read")
        return self.images[index], self.labels[index]

    def fingerprint(self) -> str:
        return "f" * 64


def numbered_task(name: str, count: int, *, broken: Sequence[int] = ()) -> Task:
    """Images of 2 x 2 pixels, all of the value of their position; the label is the position."""
    images = [torch.full((3, 2, 2), index, dtype=torch.uint8) for index in range(count)]
    return Task(name, Images(images, range(count), broken), tuple(map(str, range(count))))


def noise_task(name: str, count: int, *, seed: int, unlabelled: Sequence[int] = ()) -> Task:
    """Noise images with labels 0, 1, ... in turn."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    labels = [-1 if index in unlabelled else index % CLASSES for index in range(count)]
    return Task(name, Images(list(images), labels), tuple(map(str, range(CLASSES))))


class Adaptation:
    """A DUSA run on toy models with everything attached that has a state.

    ``stateful`` is what a reset restores; ``log`` gets a dict per update: task, index, logits, metrics so far.
    """

    def __init__(
        self,
        classifier: Classifier | None = None,
        *,
        optimizer: str = "adam",
        dtype: torch.dtype = torch.float64,
        reset: bool = False,
        ema_decay: float | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.classifier = (classifier or toy_classifier()).to(dtype)
        self.guide = toy_guide().to(dtype)
        trainable = [p for model in (self.classifier, self.guide) for p in model.parameters() if p.requires_grad]
        self.optimizer: torch.optim.Optimizer
        if optimizer == "adam":
            self.optimizer = torch.optim.Adam(
                trainable, lr=1e-4
            )  # larger, and gradients that are zero but for rounding would show
        else:
            self.optimizer = torch.optim.SGD(trainable, lr=0.1, momentum=0.9)
        self.update = Dusa(
            Dusa.Options(num_top=2, num_random=2, loss=Loss(distance="norm_l2", cosine_weight=1.0)),
            classifier=self.classifier,
            guide=self.guide,
            optimizer=self.optimizer,
            seed=SEED,
            time=uniform(t_min=0.2, t_max=0.8),
            micro_batch_size=2,
            scaler=scaler,
        )
        self.engine = create_adaptation_engine(self.update)
        self.stateful: dict[str, Any] = {
            "classifier": self.classifier,
            "transformer": self.guide.transformer,
            "optimizer": self.optimizer,
        }
        if scaler is not None:
            self.stateful["scaler"] = scaler
        if ema_decay is not None:
            ema = NormEMA(self.classifier, decay=ema_decay, evaluate=True, micro_batch_size=2)
            self.stateful["norm_ema"] = ema
        if reset:
            TaskReset(self.stateful).attach(self.engine)
        if ema_decay is not None:
            ema.attach(self.engine)
        self.metrics = task_metrics(num_classes=CLASSES, ema=ema_decay is not None)
        attach_metrics(self.engine, self.metrics)
        self.results = TaskResults(metrics=list(self.metrics))
        self.results.attach(self.engine)
        self.log: list[dict[str, Any]] = []
        self.engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self._write)

    def _write(self, engine: Engine) -> None:
        batch, output = batch_of(engine), output_of(engine)
        self.log.append(
            {
                "iteration": engine.state.iteration,
                "task": batch["task"],
                "index": batch["index"].tolist(),
                "logits": output["y_pred"].clone(),
                "loss": output["loss"],
                "diagnostics": dict(output["diagnostics"]),
                "metrics": without_times(engine.state.metrics),
            }
        )

    def run(self, tasks: Sequence[Task], *, batch_size: int, **kwargs: Any) -> Adaptation:
        """Adapt to all tasks, as one of the processes there are."""
        options = {"seed": SEED, "rank": idist.get_rank(), "world_size": idist.get_world_size(), **kwargs}
        self.engine.run(TaskStream(tasks, batch_size=batch_size, **options), max_epochs=1)
        return self

    def rows(self) -> list[dict[str, Any]]:
        """The results without the time columns."""
        return [without_times(row) for row in self.results.rows]

    def state(self) -> dict[str, Any]:
        """A copy of everything stateful."""
        return {name: copy.deepcopy(thing.state_dict()) for name, thing in self.stateful.items()}


def without_times(numbers: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if name not in ("seconds", "images_per_second")}
