"""What a method is: options, needs, and what it does with a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from ignite.engine import Engine
from pydantic import Field

from dusa_ignite.data.task import ProblemName
from dusa_ignite.engine import Batch, Output, labels_on
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.step import finite_step, trainable_parameters
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import backpropagate, predict
from dusa_ignite.models.guides import Guide, TimeSampler
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.section import Problem, Section

Trains = Literal["anything", "norms", "early_norms", "nothing"]


class Step(NamedTuple):
    """What a method made of a batch.

    Attributes:
        logits: (B, C) or (B, C, h, w) of this process's images: the predictions that count, from before the update.
        loss: mean over the global batch; NaN where there is none.
        stepped: whether the optimizer's step was taken; ``None`` where there was nothing to learn from.
        diagnostics: numbers over the global batch, the same in all processes.
        asked: the classes (B, K) int64 that a guide was asked about, and its error (B, K) for each; ``None`` = none.
    """

    logits: torch.Tensor
    loss: float = math.nan
    stepped: bool | None = None
    diagnostics: Mapping[str, float] = MappingProxyType({})
    asked: tuple[torch.Tensor, torch.Tensor] | None = None


class Method:
    """A way to adapt a classifier to a stream of batches; an instance is the engine's process function.

    A method is a subclass in a file of its own: it states its :class:`Options` and its needs (the class variables), and
    defines :meth:`adapt`. Whatever it remembers between batches goes through :meth:`state_dict` and
    :meth:`load_state_dict`: resets and checkpoints know of nothing else.

    The update is over the global batch: with several processes each holds a share of the images, possibly none, and all
    make the update that one process would make with the whole batch (:mod:`dusa_ignite.distributed.collectives`).

    Args:
        options: of the class's own ``Options``; ``None`` = their defaults.
        classifier: in eval mode, with the source weights; what of it requires gradients learns.
        optimizer: over everything that learns; ``None`` where nothing does.
        guide: in eval mode, for methods that are ``guided``.
        time: draws the guide's noise levels, see :mod:`dusa_ignite.models.guides.times`.
        scaler: of the loss, for guides in float16; ``None`` = none.
        seed: of everything that a method draws.
        micro_batch_size: images in the graph at once, >= 1; no effect on results. A classifier whose BatchNorm uses the
            batch's statistics sees the whole batch at once all the same.
        predict_after: the predictions that count are made after the update, not before it.

    Raises:
        ValueError: the options do not fit the classifier's classes, or say that these are restricted and they are not;
            or its BatchNorm layers use the batch's statistics and the method cannot have that.

    Example:
        >>> method = Tent(classifier=classifier, optimizer=optimizer)
        >>> engine = create_adaptation_engine(method)
    """

    class Options(Section):
        """The config's section ``method``; a subclass names itself and adds its own options."""

        name: str = Field(description="the method")
        restrict_to: Literal["all", "present"] = Field(
            default="all",
            description="classes that the update knows: all, or those present in the tasks' labels, which needs "
            "data.score_over=present",
        )

        def problems(self, *, num_classes: int) -> Iterator[Problem]:
            """What does not fit a classifier of so many classes."""
            return iter(())

    problems: ClassVar[tuple[ProblemName, ...]] = ("classification",)
    """What it can adapt to: images with one class each, or with one class per pixel."""
    trains: ClassVar[Trains] = "anything"
    """What of the classifier may learn: ``anything``, only ``norms`` or ``early_norms`` (see
    :mod:`dusa_ignite.models.early_norms`), or ``nothing``."""
    guided: ClassVar[bool] = False
    """Whether it needs a guide."""
    source_statistics: ClassVar[bool] = False
    """Whether BatchNorm layers have to normalise with the source's statistics, not with the batch's."""
    predicts_as_source: ClassVar[bool] = False
    """Whether its predictions are the source model's."""
    smallest_batch: ClassVar[int] = 1
    """Images that a batch needs, over all processes."""
    has_teacher: ClassVar[bool] = False
    """Whether it predicts with an average over batches, which no reset before every batch can do."""

    @classmethod
    def footprint(cls, options: Any) -> Footprint:
        """What it keeps in memory beside the models, with these options; for the estimate before a run alone."""
        return Footprint()

    def __init__(
        self,
        options: Options | None = None,
        *,
        classifier: Classifier,
        optimizer: torch.optim.Optimizer | None = None,
        guide: Guide | None = None,
        time: TimeSampler | None = None,
        scaler: torch.amp.GradScaler | None = None,
        seed: int = 0,
        micro_batch_size: int = 8,
        predict_after: bool = False,
    ) -> None:
        if self.source_statistics and classifier.uses_batch_statistics:
            raise ValueError(f"{type(self).__name__} needs a classifier with batch_norm='source'")
        self.options: Any = type(self).Options() if options is None else options  # type: ignore[call-arg]
        if self.options.restrict_to == "present" and classifier.columns is None:
            raise ValueError("restrict_to='present' needs a classifier whose restrict_to has been called")
        for problem in self.options.problems(num_classes=classifier.num_classes):
            raise ValueError(f"{problem.keys[0]}: {problem.text}")
        self.classifier = classifier
        self.optimizer: Any = optimizer
        self.guide: Any = guide
        self.time: Any = time
        self.scaler = scaler
        self.seed = seed
        self.micro_batch_size = micro_batch_size
        self.predict_after = predict_after
        self.parameters = [] if optimizer is None else trainable_parameters(optimizer)
        parameter = next(classifier.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype

    def adapt(self, images: Images, batch: Batch) -> Step:
        """One update.

        Args:
            images: this process's, B of them, float RGB in [0, 1] on the classifier's device; B may be 0.
            batch: what else is known of them; ``labels`` are for the metrics, a method must not look at them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define adapt")

    def __call__(self, engine: Engine | None, batch: Batch) -> Output:
        """Update on a batch, as Ignite's engine wants it."""
        images = to_float(batch["images"], device=self.device, dtype=self.dtype)
        step = self.adapt(images, batch)
        logits = self.correct(self.predict(images)) if self.predict_after else step.logits
        output: Output = {
            "y_pred": logits,
            "y": labels_on(self.device, batch["labels"]),
            "loss": step.loss,
            "diagnostics": {**step.diagnostics, "skipped_update": float(step.stepped is False)},
        }
        if step.asked is not None:
            output["candidates"], output["candidate_errors"] = step.asked
        return output

    def correct(self, logits: torch.Tensor) -> torch.Tensor:
        """What becomes of logits (B, C) made after the update before they count; all processes take part."""
        return logits

    @property
    def predictor(self) -> Classifier:
        """The model whose predictions count."""
        return self.classifier

    def state_dict(self) -> dict[str, Any]:
        """What is remembered between batches: tensors and plain values, no more than copies of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a copy of such a state."""

    # What methods are made of

    def predict(self, images: Images, classifier: Classifier | None = None) -> torch.Tensor:
        """Logits (B, C) without a graph, of the own classifier or another one."""
        return predict(classifier or self.classifier, images, micro_batch_size=self.micro_batch_size)

    def backpropagate(
        self, images: Images, loss: Callable[[torch.Tensor], torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """:func:`dusa_ignite.models.forward.backpropagate` through the classifier."""
        return backpropagate(self.classifier, images, loss, micro_batch_size=self.micro_batch_size)

    def step(self, loss: float) -> bool:
        """Take the optimizer's step if the global batch's loss and gradients are finite; says whether they were."""
        return finite_step(self.optimizer, self.parameters, loss)
