"""DUSA: a diffusion or flow transformer teaches the classifier (Li et al., NeurIPS 2024, arXiv 2501.00873).

The paper's claim: a sum of the class-conditional scores, weighted by the class probabilities, is the unconditional
score. So the classifier's probabilities, as weights, should make the conditional predictions add up to the noise (or
velocity) that was really there, and that can be checked without a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import gather_batch, position_in_batch
from dusa_ignite.methods.candidates import candidate_weights, select_candidates
from dusa_ignite.methods.diagnostics import guidance_diagnostics
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.guided import GuidedMethod, noised
from dusa_ignite.methods.losses import Loss, dusa_loss
from dusa_ignite.methods.sampled import draw_candidate, evenly_spread, predict_sampled
from dusa_ignite.models.views import Images
from dusa_ignite.utils.section import Problem


class Dusa(GuidedMethod):
    """One DUSA update per batch: steps 2 to 7 of the paper's algorithm.

    Noise, time and candidates are drawn from a generator of each image's own. ``diagnostics`` say whether the guide
    tells likely from unlikely classes, see :func:`dusa_ignite.methods.diagnostics.guidance_diagnostics`.
    """

    class Options(GuidedMethod.Options):
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
        transformer_backward: Literal["all", "sampled"] = Field(
            default="all",
            description="candidates that carry the transformer's gradient: all (published), or per image one, sampled "
            "by the weights, which is an unbiased estimate for less than half of the work",
        )
        guide_gradient_share: float = Field(
            default=1.0,
            gt=0,
            le=1,
            description="share of a batch's images that carry the transformer's gradient, the more each, in (0, 1]; "
            "below 1 with transformer_backward=sampled only",
        )

        def problems(self, *, num_classes: int) -> Iterator[Problem]:
            """More candidates than classes; a sample of one; a share of gradients that are not sampled."""
            if self.transformer_backward == "sampled" and self.num_top + self.num_random == 1:
                yield Problem(
                    ("method.transformer_backward", "method.num_top", "method.num_random"),
                    "sampled needs at least two candidates: num_top + num_random >= 2",
                )
            if self.guide_gradient_share < 1 and self.transformer_backward == "all":
                yield Problem(
                    ("method.guide_gradient_share", "method.transformer_backward"),
                    f"{self.guide_gradient_share:g} needs method.transformer_backward=sampled",
                )
            if self.num_top + self.num_random > num_classes:
                yield Problem(
                    ("method.num_top", "method.num_random", "classifier.num_classes"),
                    f"num_top {self.num_top} + num_random {self.num_random} is more than there are classes; "
                    f"allowed: together <= classifier.num_classes = {num_classes}",
                )

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """The guide predicts every candidate; where they are sampled, one with a graph."""
        num_candidates = options.num_top + options.num_random
        if options.transformer_backward == "sampled":
            return Footprint(
                guide_passes=1,
                guide_share=options.guide_gradient_share,
                guide_passes_alone=num_candidates - (options.guide_gradient_share == 1),
            )
        return Footprint(guide_passes=num_candidates)

    @property
    def num_columns(self) -> int:
        """A number for every candidate."""
        return self.options.num_top + self.options.num_random

    @property
    def num_gumbel(self) -> int:
        """One for every class, where classes are drawn."""
        return self.classifier.num_classes if self.options.num_random else 0

    @property
    def samples_backward(self) -> bool:
        """Whether one candidate carries the guide's gradient."""
        return self.options.transformer_backward == "sampled"

    @property
    def num_uniform(self) -> int:
        """One for the candidate that carries the gradient, and one for the batch's images that do."""
        return 2 if self.samples_backward else 0

    def draw_together(self, draws: Draws, total: int) -> Draws:
        """Which images carry the guide's gradient; the global batch's first one draws where their even row begins."""
        if self.options.guide_gradient_share == 1 or not total:
            return draws
        place = position_in_batch(len(draws.uniform))
        offset = gather_batch(draws.uniform)[0, 1].item()
        weights = evenly_spread(total, share=self.options.guide_gradient_share, offset=offset)
        return replace(draws, guide_weight=weights[place])

    def objective(self, images: Images, logits: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a micro-batch, and the squared error of each candidate's own prediction (b, K)."""
        x_t, target, model_time = noised(self.guide, images, draws)
        candidates = self.select(logits, draws)
        carrier = None
        if self.samples_backward:
            weights = candidate_weights(logits, candidates, normalise_logits=self.options.normalise_logits)
            drawn = draw_candidate(weights, draws.uniform[:, 0])
            predictions, carrier = predict_sampled(self.guide, x_t, model_time, candidates, drawn, draws.guide_weight)
        else:
            predictions = self.guide.predict(x_t, model_time, candidates)
        loss = dusa_loss(
            logits,
            candidates,
            predictions,
            target,
            normalise_logits=self.options.normalise_logits,
            **self.options.loss.model_dump(),
            carrier=carrier,
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
