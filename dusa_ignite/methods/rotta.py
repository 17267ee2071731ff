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
from typing import Any, Literal

import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import gather_batch, global_sum
from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.engine import Batch
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.entropy import entropy
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.memory_bank import MemoryBank
from dusa_ignite.methods.robust_norm import RobustNorm
from dusa_ignite.methods.teacher import Teacher
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import backpropagate, predict
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import derive_seed


class Rotta(Method):
    """An update whenever enough images have been seen, over all processes, whatever the batch size.

    The bank holds the square that the classifier crops, as uint8, so images of any size can be mixed. All processes
    hold the same bank and learn from all of it; with BatchNorm layers all of it is in the graph at once. The state is
    the teacher, the bank, and how many images have been seen; by these, the task and the place in the bank the
    augmentations are keyed. The loss is the mean over the updates that fell into the batch, NaN without one;
    ``diagnostics`` have ``bank``, the images in it.
    """

    class Options(Method.Options):
        """A memory bank, a slow teacher and robust normalisation (arXiv 2303.13899)."""

        name: Literal["rotta"] = "rotta"
        memory_size: int = Field(default=64, ge=1, le=1_000_000, description="images in the bank, >= 1")
        update_every: int = Field(default=64, ge=1, description="images between updates, >= 1")
        nu: float = Field(default=0.001, ge=0, le=1, description="share of the student in the teacher, in [0, 1]")
        alpha: float = Field(default=0.05, ge=0, le=1, description="share of the batch in BatchNorm, in [0, 1]")
        lambda_t: float = Field(
            default=1.0, ge=0, description="weight of an image's age in what the bank gives up, >= 0"
        )
        lambda_u: float = Field(default=1.0, ge=0, description="weight of its uncertainty, >= 0")

    trains = "norms"
    source_statistics = True  # from which the robust ones start
    has_teacher = True

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """The teacher and the bank, all of which is learnt from."""
        size = options.memory_size
        return Footprint(classifiers=1, images=size, update_images=size, whole_batch=True)

    def __init__(self, options: Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        self.teacher = Teacher(self.classifier)
        self.bank = MemoryBank()
        self.seen = 0

    def adapt(self, images: Images, batch: Batch) -> Step:
        """Predict with the teacher, offer every image to the bank, and learn from it when it is time."""
        logits = self.predict(images, self.teacher.classifier)
        pixels = (self.classifier.crop(images) * 255).round().to(torch.uint8)
        everyones_logits, everyones_pixels = gather_batch(logits), gather_batch(pixels)
        entropies = entropy(everyones_logits).double()
        losses, steps = [], []
        for image, label, uncertainty in zip(
            everyones_pixels, everyones_logits.argmax(dim=1).tolist(), entropies.tolist(), strict=True
        ):
            if math.isfinite(uncertainty):  # an image that is not would keep its class's place in the bank for good
                self.bank.add(
                    image.clone(),
                    label,
                    uncertainty,
                    capacity=self.options.memory_size,
                    num_classes=self.classifier.num_classes,
                    lambda_t=self.options.lambda_t,
                    lambda_u=self.options.lambda_u,
                )
            self.seen += 1
            if self.seen % self.options.update_every == 0 and len(self.bank):
                loss, stepped = self.learn(batch["task"])
                losses.append(loss)
                steps.append(stepped)
        return Step(
            logits,
            loss=sum(losses) / len(losses) if losses else math.nan,
            stepped=all(steps) if steps else None,
            diagnostics={"bank": float(len(self.bank))},
        )

    def learn(self, task: str) -> tuple[float, bool]:
        """One update from the bank: its loss, and whether the step was taken."""
        images: Any = to_float(torch.stack(self.bank.images), device=self.device, dtype=self.dtype)
        keys = [(self.seed, task, "rotta", self.seen, place) for place in range(len(self.bank))]
        strong = augment(images, [torch.Generator().manual_seed(derive_seed(*key)) for key in keys])
        ages = torch.tensor(self.bank.ages, dtype=self.dtype, device=self.device)
        weights = (-ages / self.options.memory_size).sigmoid()
        models = (self.classifier, self.teacher.classifier)
        student_norms, teacher_norms = (RobustNorm(model, alpha=self.options.alpha) for model in models)
        at_once = len(self.bank) if student_norms.layers else self.micro_batch_size
        processes = global_sum(1)
        with teacher_norms:
            target = predict(self.teacher.classifier, images, micro_batch_size=at_once).softmax(dim=1)

        def mean_loss(logits: torch.Tensor) -> torch.Tensor:
            losses = -(target * logits.log_softmax(dim=1)).sum(dim=1) * weights
            return losses.mean() / processes  # each has the whole bank, and gradients are added up

        with student_norms:
            _, local = backpropagate(self.classifier, strong, mean_loss, micro_batch_size=at_once)
        all_reduce_gradients(self.parameters)
        loss = global_sum(local.item())
        stepped = self.step(loss)
        if stepped:
            student_norms.commit()
            teacher_norms.commit()
            self.teacher.average(self.classifier, decay=1 - self.options.nu)
        return loss, stepped

    @property
    def predictor(self) -> Classifier:
        """The teacher."""
        return self.teacher.classifier

    def state_dict(self) -> dict[str, Any]:
        """The teacher's, the bank's and the number of images seen."""
        return {"teacher": self.teacher.state_dict(), "bank": self.bank.state_dict(), "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy all of it."""
        self.teacher.load_state_dict(state["teacher"])
        self.bank.load_state_dict(state["bank"], device=self.device)
        self.seen = state["seen"]
