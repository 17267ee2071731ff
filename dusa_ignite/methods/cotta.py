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
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from dusa_ignite.distributed.collectives import all_reduce_gradients, global_sum
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.step import (
    Update,
    backpropagate,
    finite_step,
    learning_parameters,
    predict,
    trainable_parameters,
)
from dusa_ignite.methods.teacher import Teacher, frozen_copy
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import numpy_generator, sample_generators


class CottaMemory:
    """What CoTTA keeps between updates: the teacher, and how many updates there were. The source model beside them
    never changes.

    Args:
        classifier: with the source weights.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.teacher = Teacher(classifier)
        self.source = frozen_copy(classifier)
        self.updates = 0

    def state_dict(self) -> dict[str, Any]:
        """Both, but for the source model."""
        return {"teacher": self.teacher.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy both."""
        self.teacher.load_state_dict(state["teacher"])
        self.updates = state["updates"]


def cotta(
    *,
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    memory: CottaMemory,
    seed: int,
    micro_batch_size: int,
    teacher_decay: float = 0.999,
    num_augmentations: int = 32,
    confidence_threshold: float = 0.1,
    restore_probability: float = 0.001,
) -> Update:
    """The process function of one CoTTA update per batch.

    Args:
        classifier: the student, in eval mode; all its parameters learn in the paper.
        optimizer: over those parameters.
        memory: made from the source classifier; stateful.
        seed: of the augmentations, keyed by image, and of what is restored, keyed by task and update.
        micro_batch_size: images in the graph at once; no effect on results.
        teacher_decay: of the moving average, in [0, 1].
        num_augmentations: over which the teacher is averaged, >= 1.
        confidence_threshold: of the source model's mean confidence in a batch, in [0, 1]; below it the average is
            taken. Published: 0.1 for ImageNet-C, 0.92 for CIFAR-10-C, 0.72 for CIFAR-100-C.
        restore_probability: of every element and update, in [0, 1]. Published: 0.001 for ImageNet-C, 0.01 for CIFAR.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`. ``diagnostics`` has
        ``confidence``, the source model's, and ``augmented``, whether the average was taken.
    """
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype

    def averaged_prediction(images: Images, generators: list[torch.Generator]) -> torch.Tensor:
        """The teacher's mean logits over augmented images, as in the authors' code."""
        view = classifier.crop(images)
        total = torch.zeros(len(view), classifier.num_classes, dtype=dtype, device=device)
        for _ in range(num_augmentations):
            total += predict(memory.teacher.classifier, augment(view, generators), micro_batch_size=micro_batch_size)
        return total / num_augmentations

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        total = global_sum(len(batch["index"]))
        anchor = predict(memory.source, images, micro_batch_size=micro_batch_size).softmax(dim=1)
        confidence = global_sum(anchor.amax(dim=1).double().sum().item()) / max(total, 1)
        augmented = total > 0 and confidence < confidence_threshold
        if augmented:
            generators = sample_generators(seed, batch["task"], batch["index"])
            pseudo = averaged_prediction(images, generators)
        else:
            pseudo = predict(memory.teacher.classifier, images, micro_batch_size=micro_batch_size)

        _, local = backpropagate(
            classifier,
            images,
            lambda logits: symmetric_cross_entropy(logits, pseudo).sum() / max(total, 1),
            micro_batch_size=micro_batch_size,
        )
        all_reduce_gradients(parameters)
        loss = global_sum(local.item()) if total else math.nan
        stepped = total > 0 and finite_step(optimizer, parameters, loss)
        if stepped:
            memory.teacher.average(classifier, decay=teacher_decay)
            memory.updates += 1  # since the last reset: a task's draws must not depend on the tasks before it
            key = (seed, batch["task"], "restore", memory.updates)
            restore(classifier, memory.source, probability=restore_probability, key=key)
        diagnostics = {"confidence": confidence, "augmented": float(augmented)}
        return {
            "y_pred": pseudo,
            "y": batch["labels"].to(device),
            "loss": loss,
            "diagnostics": {**diagnostics, "skipped_update": float(total > 0 and not stepped)},
        }

    return update


def symmetric_cross_entropy(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(B,) the mean of both cross-entropies between the predictions that two logits (B, C) stand for."""
    own, other = logits.log_softmax(dim=1), others.log_softmax(dim=1)
    return -(other.exp() * own + own.exp() * other).sum(dim=1) / 2


@torch.no_grad()
def restore(classifier: Classifier, source: Classifier, *, probability: float, key: tuple[int | str, ...]) -> None:
    """Return elements of the learning parameters to their source values, each with the same probability.

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
    learning, origin = learning_parameters(classifier), dict(source.named_parameters())
    places = [
        generator.choice(count, size=generator.binomial(count, probability), replace=False, shuffle=False)
        for count in (parameter.numel() for parameter in learning.values())
    ]
    everywhere = torch.from_numpy(np.concatenate(places)).to(next(classifier.parameters()).device)
    for (name, parameter), chosen in zip(learning.items(), everywhere.split([len(p) for p in places]), strict=True):
        parameter.view(-1)[chosen] = origin[name].view(-1)[chosen]
