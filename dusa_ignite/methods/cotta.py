"""CoTTA: a moving-average teacher, averaged over augmentations, and random restoring (Wang et al., CVPR 2022, arXiv
2203.13591).

1. The teacher predicts y'. Where the source model is unsure of the batch (mean of its largest probabilities below a
   threshold), y' is the teacher's mean prediction over augmented images.
2. The student learns the cross-entropy between y' and its own prediction y, in the symmetric form of the
   authors' ImageNet code: -1/2 sum_c y'_c log y_c - 1/2 sum_c y_c log y'_c, y' held constant.
3. teacher <- 0.999 teacher + 0.001 student.
4. Every element of the student's parameters returns to its source value with probability 0.001.

The prediction that counts is y', from before the update. Every image is augmented by draws of its own, where the
authors' code draws once for a whole batch: so the draws depend neither on the batch size nor on the processes.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.engine import Batch
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.losses import symmetric_cross_entropy
from dusa_ignite.methods.step import named_trainable
from dusa_ignite.methods.teacher import Teacher, frozen_copy
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import rows_of
from dusa_ignite.models.views import Images
from dusa_ignite.utils.seeding import numpy_generator, sample_generators


class Cotta(Method):
    """One CoTTA update per batch; all parameters of the classifier, the student, learn in the paper.

    The state is the teacher, and how many updates there were; the source model never changes. Augmentations are keyed
    by image, and what is restored by task and update. ``diagnostics`` have ``confidence``, the source model's, and
    ``augmented``, whether the teacher was averaged over augmented images.

    Published for ``confidence_threshold``: 0.1 for ImageNet-C, 0.92 for CIFAR-10-C, 0.72 for CIFAR-100-C; for
    ``restore_probability``: 0.001 for ImageNet-C, 0.01 for CIFAR.
    """

    class Options(Method.Options):
        """A moving-average teacher, averaged over augmentations, and random restoring (arXiv 2203.13591)."""

        name: Literal["cotta"] = "cotta"
        teacher_decay: float = Field(default=0.999, ge=0, le=1, description="of the teacher's average, in [0, 1]")
        num_augmentations: int = Field(
            default=32, ge=1, le=10000, description="that the teacher is averaged over, >= 1"
        )
        confidence_threshold: float = Field(
            default=0.1, ge=0, le=1, description="average where the source model's mean confidence is below, in [0, 1]"
        )
        restore_probability: float = Field(
            default=0.001, ge=0, le=1, description="of each element to return to the source's, per update, in [0, 1]"
        )

    has_teacher = True

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """Teacher and source model."""
        return Footprint(classifiers=2)

    def __init__(self, options: Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        self.teacher = Teacher(self.classifier)
        self.source = frozen_copy(self.classifier)
        self.updates = 0

    def adapt(self, images: Images, batch: Batch) -> Step:
        """Predict with the teacher, teach the student, average, restore."""
        anchor = rows_of(self.predict(images, self.source)).softmax(dim=1)
        total = global_sum(len(anchor))
        confidence = global_sum(anchor.amax(dim=1).double().sum().item()) / max(total, 1)
        augmented = total > 0 and confidence < self.options.confidence_threshold
        if augmented:
            pseudo = self.averaged_prediction(images, sample_generators(self.seed, batch["task"], batch["index"]))
        else:
            pseudo = self.predict(images, self.teacher.classifier)

        targets = rows_of(pseudo)
        _, local = self.backpropagate(
            images, lambda logits: symmetric_cross_entropy(rows_of(logits), targets).sum() / max(total, 1)
        )
        all_reduce_gradients(self.parameters)
        loss = global_sum(local.item()) if total else math.nan
        stepped = self.step(loss) if total else None
        if stepped:
            self.teacher.average(self.classifier, decay=self.options.teacher_decay)
            self.updates += 1  # since the last reset: a task's draws must not depend on the tasks before it
            key = (self.seed, batch["task"], "restore", self.updates)
            restore(self.classifier, self.source, probability=self.options.restore_probability, key=key)
        return Step(pseudo, loss, stepped, {"confidence": confidence, "augmented": float(augmented)})

    def averaged_prediction(self, images: Images, generators: list[torch.Generator]) -> torch.Tensor:
        """The teacher's mean logits (B, C) over augmented images, as in the authors' code."""
        view = self.classifier.crop(images)
        total = torch.zeros(len(view), self.classifier.num_classes, dtype=self.dtype, device=self.device)
        for _ in range(self.options.num_augmentations):
            total += self.predict(augment(view, generators), self.teacher.classifier)
        return total / self.options.num_augmentations

    @property
    def predictor(self) -> Classifier:
        """The teacher."""
        return self.teacher.classifier

    def state_dict(self) -> dict[str, Any]:
        """The teacher's and the number of updates."""
        return {"teacher": self.teacher.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy both."""
        self.teacher.load_state_dict(state["teacher"])
        self.updates = state["updates"]


@torch.no_grad()
def restore(classifier: Classifier, source: Classifier, *, probability: float, key: tuple[int | str, ...]) -> None:
    """Return elements of the parameters that learn to their source values, each with the same probability.

    For every parameter it is drawn how many elements return (a binomial number), then which: as good as a draw for each
    element, without that many draws.

    Args:
        classifier: changed in place.
        source: holds the source values.
        probability: in [0, 1]; 0 draws nothing.
        key: of the draws; equal keys restore the same elements in every process.
    """
    if probability == 0:
        return
    generator = numpy_generator(*key)
    trainable, origin = named_trainable(classifier), dict(source.named_parameters())
    places = [
        generator.choice(count, size=generator.binomial(count, probability), replace=False, shuffle=False)
        for count in (parameter.numel() for parameter in trainable.values())
    ]
    everywhere = torch.from_numpy(np.concatenate(places)).to(next(classifier.parameters()).device)
    for (name, parameter), chosen in zip(trainable.items(), everywhere.split([len(p) for p in places]), strict=True):
        parameter.view(-1)[chosen] = origin[name].view(-1)[chosen]
