"""DUSA: a diffusion or flow transformer teaches the classifier (Li et al., NeurIPS 2024, arXiv 2501.00873).

The paper's claim: a sum of the class-conditional scores, weighted by the class probabilities, is the unconditional
score. So the classifier's probabilities, as weights, should make the conditional predictions add up to the noise (or
velocity) that was really there, and that can be checked without a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field

from dusa_ignite.methods.base import Method
from dusa_ignite.methods.candidates import select_candidates
from dusa_ignite.methods.diagnostics import guidance_diagnostics
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.guided import GuidedMethod, noised
from dusa_ignite.methods.losses import Loss, dusa_loss
from dusa_ignite.models.views import Images
from dusa_ignite.utils.section import Problem


class Dusa(GuidedMethod):
    """One DUSA update per batch: steps 2 to 7 of the paper's algorithm.

    Noise, time and candidates are drawn from a generator of each image's own. ``diagnostics`` say whether the guide
    tells likely from unlikely classes, see :func:`dusa_ignite.methods.diagnostics.guidance_diagnostics`.
    """

    class Options(Method.Options):
        """The guide teaches the classifier (arXiv 2501.00873)."""

        name: Literal["dusa"] = "dusa"
        num_top: int = Field(default=4, ge=1, description="most likely classes asked about, >= 1")
        num_random: int = Field(default=2, ge=0, description="further classes drawn, >= 0")
        temperature: float = Field(default=1.0, gt=0, description="of that draw, > 0; larger is more even")
        candidate_draw: Literal["multinomial", "uniform"] = Field(
            default="multinomial", description="how they are drawn"
        )
        normalise_logits: bool = Field(default=True, description="take the weights over L2-normalised logits")
        loss: Loss = Field(default=Loss(), description="the objective")

        def problems(self, *, num_classes: int) -> Iterator[Problem]:
            """More candidates than classes."""
            if self.num_top + self.num_random > num_classes:
                yield Problem(
                    ("method.num_top", "method.num_random", "classifier.num_classes"),
                    f"num_top {self.num_top} + num_random {self.num_random} is more than there are classes; "
                    f"allowed: together <= classifier.num_classes = {num_classes}",
                )

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """The guide predicts every candidate."""
        return Footprint(guide_passes=options.num_top + options.num_random)

    @property
    def num_columns(self) -> int:
        """A number for every candidate."""
        return self.options.num_top + self.options.num_random

    @property
    def num_gumbel(self) -> int:
        """One for every class, where classes are drawn."""
        return self.classifier.num_classes if self.options.num_random else 0

    def objective(self, images: Images, logits: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a micro-batch, and the squared error of each candidate's own prediction (b, K)."""
        x_t, target, model_time = noised(self.guide, images, draws)
        candidates = self.select(logits, draws)
        predictions = self.guide.predict(x_t, model_time, candidates)
        loss = dusa_loss(
            logits,
            candidates,
            predictions,
            target,
            normalise_logits=self.options.normalise_logits,
            **self.options.loss.model_dump(),
        )
        errors = (predictions.detach() - target[:, None]).square().flatten(2).mean(dim=2)
        return loss, errors

    def select(self, logits: torch.Tensor, draws: Draws) -> torch.Tensor:
        """The candidate classes (b, K), see :func:`dusa_ignite.methods.candidates.select_candidates`."""
        return select_candidates(
            logits,
            num_top=self.options.num_top,
            num_random=self.options.num_random,
            temperature=self.options.temperature,
            draw=self.options.candidate_draw,
            gumbel=draws.gumbel,
        )

    def asked(self, logits: torch.Tensor, draws: Draws, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The candidates, selected once more, and their errors."""
        return self.select(logits, draws), numbers

    def diagnose(self, numbers: torch.Tensor, total: int) -> dict[str, float]:
        """Whether favourites have smaller errors than drawn classes."""
        return guidance_diagnostics(numbers, num_top=self.options.num_top, total=total)
