"""The update that all methods with a guide share: they differ in the objective alone."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import global_max, global_sum
from dusa_ignite.distributed.gradients import GradientSums
from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.diversity import DIVERSITY, diversity_terms
from dusa_ignite.methods.draws import Draws, draw_batch
from dusa_ignite.methods.step import finite_step
from dusa_ignite.models.forward import DeferredBackward, micro_batches, slices
from dusa_ignite.models.guides import Guide
from dusa_ignite.models.views import Images
from dusa_ignite.utils.seeding import sample_generators


class GuidedMethod(Method):
    """Minimises an objective of images and logits over all trainable parameters of classifier and guide.

    The loss is a mean over the global batch, so neither the micro-batch size nor the number of processes changes the
    update. The graph of the objective is freed before the classifier's is walked. Gradients are added up over the
    processes while the last micro-batch's backward passes go on. A guide that is sharded over processes is run equally
    often by all of them.
    """

    class Options(Method.Options):
        """What all of them share; a subclass names itself and adds its own options."""

        diversity: float = Field(default=0.0, ge=0, description=f"{DIVERSITY}; 0 = none (published)")

    guided: ClassVar[bool] = True

    @property
    def num_columns(self) -> int:
        """K, numbers per image that the objective returns."""
        raise NotImplementedError

    @property
    def num_samples(self) -> int:
        """Draws of noise and time per image."""
        return 1

    @property
    def num_gumbel(self) -> int:
        """Gumbel numbers per image."""
        return 0

    @property
    def num_uniform(self) -> int:
        """Uniform numbers per image."""
        return 0

    def objective(self, images: Images, logits: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean loss of a micro-batch, and numbers (b, K) per image, detached, that become diagnostics.

        Args:
            images: of the micro-batch, b of them, float RGB in [0, 1].
            logits: (b, C), a leaf: the gradient that reaches them is handed on to the classifier.
            draws: of these images.
        """
        raise NotImplementedError

    def diagnose(self, numbers: torch.Tensor, total: int) -> dict[str, float]:
        """Diagnostics over the global batch of ``total`` >= 1 images, from this process's numbers (B, K)."""
        raise NotImplementedError

    def asked(
        self, logits: torch.Tensor, draws: Draws, numbers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The classes that the guide was asked about, and its error for each, (B, K); ``None`` = there are none.

        Args:
            logits: (B, C), as the objective had them.
            draws: of these images.
            numbers: (B, K), as the objective returned them.
        """
        return None

    def adapt(self, images: Images, batch: Batch) -> Step:
        """One update, with the objective's graph of a micro-batch at a time."""
        count = len(batch["index"])
        total = int(global_sum(count))
        draws = self.draw(sample_generators(self.seed, batch["task"], batch["index"]))
        draws = self.draw_together(draws, total)
        rounds = len(list(slices(count, self.micro_batch_size)))
        idle_rounds = int(global_max(rounds)) - rounds if self.guide.is_sharded else 0
        scaler = self.scaler or torch.amp.GradScaler(enabled=False)
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        options: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        all_logits = [torch.empty(0, self.classifier.num_classes, **options)]
        all_numbers = [torch.empty(0, self.num_columns, **options)]
        sums = GradientSums(self.parameters)
        wait = self.guide.is_sharded or self.classifier.uses_batch_statistics  # backward passes with collectives inside
        with self.guide.weights_cast_once(self.device):
            pieces = micro_batches(self.classifier, count, micro_batch_size=self.micro_batch_size)
            only = self.forward(images) if len(pieces) == 1 else None
            diversity = diversity_terms(
                self.options.diversity, lambda: only.logits if only else self.predict(images), total
            )
            for outer in pieces:
                own = only or self.forward(images[outer])
                is_last = outer.stop == count and not wait
                for inner in slices(len(own.logits), self.micro_batch_size):
                    part = slice(outer.start + inner.start, outer.start + inner.stop)
                    loss, numbers = self.objective(images[part], own.logits[inner], draws[part])
                    if diversity:
                        loss = loss + diversity(own.logits[inner]).mean()
                    share = loss * (len(numbers) / total)  # of the mean over the global batch
                    with sums.last_pass(self.guide) if is_last else nullcontext():
                        scaler.scale(share).backward()
                    loss_sum += share.detach()
                    all_numbers.append(numbers)
                if outer is pieces[-1]:  # before the way back through BatchNorm, where all processes meet
                    self.idle(idle_rounds, all_logits[0])
                if not count:
                    own.logits.grad = torch.zeros_like(own.logits)  # there they meet those without an image, too
                with sums.last_pass(self.classifier) if is_last else nullcontext():
                    own.backward()
                all_logits.append(own.logits.detach())
            if not pieces:
                self.idle(idle_rounds, all_logits[0])

        sums.finish()
        loss_value = global_sum(loss_sum.item()) if total else math.nan
        logits, numbers = torch.cat(all_logits), torch.cat(all_numbers)
        return Step(
            logits,
            loss_value,
            stepped=self.step(loss_value) if total else None,
            diagnostics=self.diagnose(numbers, max(total, 1)),
            asked=self.asked(logits, draws, numbers),
        )

    def forward(self, images: Images) -> DeferredBackward:
        """Images through the classifier, in micro-batches where they do not depend on each other."""
        return DeferredBackward(self.classifier, images, micro_batch_size=self.micro_batch_size)

    def step(self, loss: float) -> bool:
        """As for every method, with the loss scaled back."""
        return finite_step(self.optimizer, self.parameters, loss, self.scaler)

    def draw(self, generators: list[torch.Generator]) -> Draws:
        """What images draw from their generators."""
        return draw_batch(
            generators,
            time=self.time,
            shape=self.guide.latent_shape,
            device=self.device,
            num_samples=self.num_samples,
            num_gumbel=self.num_gumbel,
            num_uniform=self.num_uniform,
        )

    def draw_together(self, draws: Draws, total: int) -> Draws:
        """This process's draws, with what the ``total`` images of the global batch settle together.

        All processes must take part.
        """
        return draws

    def idle(self, rounds: int, no_logits: torch.Tensor) -> None:
        """Run the objective on a black image without weight, because other processes run it on theirs.

        Args:
            rounds: how often; 0 = others have nothing left to do.
            no_logits: (0, C), of the right dtype and device.
        """
        for _ in range(rounds):
            image = no_logits.new_zeros(1, 3, 8, 8)
            logits = no_logits.new_zeros(1, no_logits.shape[1]).requires_grad_()
            loss, _ = self.objective(image, logits, self.draw([torch.Generator()]))
            (0 * loss).backward()


def noised(guide: Guide, images: Images, draws: Draws) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encoded images under the noise that they drew.

    Args:
        guide: encodes every image once, however many samples there are.
        images: B of them.
        draws: of these images, S samples for each.

    Returns:
        ``x_t`` and the target (S B, C, H, W), and the model's time (S B,): all images' first samples, then the second.
    """
    x0 = guide.encode(images).repeat(draws.times.shape[1], 1, 1, 1)
    noise = draws.noise.transpose(0, 1).flatten(0, 1)
    x_t, target, model_time = guide.path(x0, noise.to(x0), draws.times.T.flatten())
    return x_t.to(x0), target.to(x0), model_time  # times are float64, and a path may not cast them
