"""RoTTA: a memory bank, a slow teacher and robust normalisation (Yuan et al., CVPR 2023, arXiv 2303.13899).

1. The teacher predicts; its prediction from before the update counts. Every image is offered to a bank that is balanced
   over the predicted classes and prefers recent and certain images (:mod:`dusa_ignite.methods.memory_bank`).
2. After every 64 images the student learns from the bank the timeliness-weighted cross-entropy
   mean_i E(a_i) * (-sum_c p_T(x_i)_c log p_S(x'_i)_c), with x' a strong augmentation of x, the age a in units of the
   bank's capacity and E(a) = exp(-a) / (1 + exp(-a)).
3. teacher <- (1 - nu) teacher + nu student.

BatchNorm layers of both use moving statistics that start at the source's (:mod:`dusa_ignite.methods.robust_norm`).

Two departures from the authors' code: every image is augmented by draws of its own, not by those of its batch; and the
bank holds 8-bit images. That is exact for images that already have the classifier's size; a crop that was resized is
rounded, by at most half of 1/255.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.distributed.collectives import all_reduce_gradients, gather_batch, global_sum
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.entropy import entropy
from dusa_ignite.methods.memory_bank import MemoryBank
from dusa_ignite.methods.robust_norm import RobustNorm
from dusa_ignite.methods.step import Update, backpropagate, finite_step, predict, trainable_parameters
from dusa_ignite.methods.teacher import Teacher
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float
from dusa_ignite.utils.seeding import derive_seed


class RottaMemory:
    """What RoTTA keeps between updates: the teacher, the bank, and how many images it has seen.

    Args:
        classifier: with the source weights.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.teacher = Teacher(classifier)
        self.bank = MemoryBank()
        self.seen = 0

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {"teacher": self.teacher.state_dict(), "bank": self.bank.state_dict(), "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy all of it."""
        self.teacher.load_state_dict(state["teacher"])
        self.bank.load_state_dict(state["bank"], device=next(self.teacher.classifier.parameters()).device)
        self.seen = state["seen"]


def rotta(
    *,
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    memory: RottaMemory,
    seed: int,
    micro_batch_size: int,
    memory_size: int = 64,
    update_every: int = 64,
    nu: float = 0.001,
    alpha: float = 0.05,
    lambda_t: float = 1.0,
    lambda_u: float = 1.0,
) -> Update:
    """The process function of RoTTA: an update whenever enough images have been seen, whatever the batch size.

    The bank holds the square that the classifier crops, as uint8, so images of any size can be mixed. All processes
    hold the same bank and learn from all of it.

    Args:
        classifier: the student, in eval mode, its BatchNorm layers on stored statistics, from which the robust ones
            start; the affine parameters of its norm layers learn in the paper.
        optimizer: over those parameters.
        memory: made from the source classifier; stateful.
        seed: of the augmentations, keyed by task, images seen and place in the bank.
        micro_batch_size: images in the graph at once; no effect on results. With BatchNorm layers the whole bank is.
        memory_size: capacity of the bank, images, >= 1.
        update_every: images between updates, over all processes, >= 1.
        nu: share of the student in the teacher's average, in [0, 1].
        alpha: share of the batch in BatchNorm's statistics, in [0, 1].
        lambda_t, lambda_u: weights of timeliness and uncertainty in what the bank gives up, >= 0.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`. ``loss`` is the mean over
        the updates that fell into the batch, NaN without one; ``diagnostics`` has ``bank``, the images in it.

    Raises:
        ValueError: the classifier's BatchNorm layers use the batch's statistics.
    """
    if classifier.uses_batch_statistics:
        raise ValueError("rotta needs a classifier with batch_norm='source'")
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype
    num_classes = classifier.num_classes

    def learn(task: str) -> tuple[float, bool]:
        """One update from the bank: its loss, and whether the step was taken."""
        bank, teacher = memory.bank, memory.teacher.classifier
        images: Any = to_float(torch.stack(bank.images), device=device, dtype=dtype)
        keys = [(seed, task, "rotta", memory.seen, place) for place in range(len(bank))]
        strong = augment(images, [torch.Generator().manual_seed(derive_seed(*key)) for key in keys])
        weights = (-torch.tensor(bank.ages, dtype=dtype, device=device) / memory_size).sigmoid()
        student_norms, teacher_norms = (RobustNorm(model, alpha=alpha) for model in (classifier, teacher))
        at_once = len(bank) if student_norms.layers else micro_batch_size
        processes = global_sum(1)
        with teacher_norms:
            target = predict(teacher, images, micro_batch_size=at_once).softmax(dim=1)

        def loss(logits: torch.Tensor) -> torch.Tensor:
            losses = -(target * logits.log_softmax(dim=1)).sum(dim=1) * weights
            return losses.mean() / processes  # each has the whole bank, and gradients are added up

        with student_norms:
            _, local = backpropagate(classifier, strong, loss, micro_batch_size=at_once)
        all_reduce_gradients(parameters)
        value = global_sum(local.item())
        stepped = finite_step(optimizer, parameters, value)
        if stepped:
            student_norms.commit()
            teacher_norms.commit()
            memory.teacher.average(classifier, decay=1 - nu)
        return value, stepped

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        logits = predict(memory.teacher.classifier, images, micro_batch_size=micro_batch_size)
        pixels = (classifier.crop(images) * 255).round().to(torch.uint8)
        everyones_logits, everyones_pixels = gather_batch(logits), gather_batch(pixels)
        entropies = entropy(everyones_logits).double()
        losses, steps = [], []
        for image, label, uncertainty in zip(
            everyones_pixels, everyones_logits.argmax(dim=1).tolist(), entropies.tolist(), strict=True
        ):
            memory.bank.add(
                image.clone(),
                label,
                uncertainty,
                capacity=memory_size,
                num_classes=num_classes,
                lambda_t=lambda_t,
                lambda_u=lambda_u,
            )
            memory.seen += 1
            if memory.seen % update_every == 0:
                loss, stepped = learn(batch["task"])
                losses.append(loss)
                steps.append(stepped)
        return {
            "y_pred": logits,
            "y": batch["labels"].to(device),
            "loss": sum(losses) / len(losses) if losses else math.nan,
            "diagnostics": {"bank": float(len(memory.bank)), "skipped_update": float(not all(steps))},
        }

    return update
