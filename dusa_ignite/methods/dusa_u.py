"""DUSA-U: only the guide's unconditional branch learns (Li et al., NeurIPS 2024, arXiv 2501.00873).

DUSA's cheaper variant. The transformer adapts to the images through its unconditional prediction alone; the conditional
ones, made without a graph, teach the classifier:

    loss = d(v(x_t, t, no class), target) + d(sum_k w_k stop_gradient(v(x_t, t, k)), target)

with the candidates k, their weights w and the distance d of DUSA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch

from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.guided import noised
from dusa_ignite.methods.losses import dusa_loss, image_losses
from dusa_ignite.models.views import Images
from dusa_ignite.utils.section import Problem


class DusaU(Dusa):
    """One DUSA-U update per batch; draws, candidates and diagnostics are those of DUSA."""

    class Options(Dusa.Options):
        """DUSA with only the guide's unconditional branch learning (arXiv 2501.00873).

        Options as for dusa; but transformer_backward=all alone, as one prediction has a graph in any case.
        """

        name: Literal["dusa_u"] = "dusa_u"  # type: ignore[assignment]

        def problems(self, *, num_classes: int) -> Iterator[Problem]:
            """As for dusa; and nothing is there to sample."""
            if self.transformer_backward == "sampled":
                yield Problem(
                    ("method.transformer_backward",),
                    "sampled has no meaning for dusa_u: no candidate carries its transformer's gradient, only the one "
                    "unconditional prediction does; give all",
                )
            yield from super().problems(num_classes=num_classes)

    @classmethod
    def footprint(cls, options: Dusa.Options) -> Footprint:
        """The unconditional prediction has a graph, those of the candidates have none."""
        return Footprint(guide_passes=1, guide_passes_alone=options.num_top + options.num_random)

    def objective(self, images: Images, logits: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a micro-batch, and the squared error of each candidate's own prediction (b, K)."""
        x_t, target, model_time = noised(self.guide, images, draws)
        candidates = self.select(logits, draws)
        with torch.no_grad():
            conditional = self.guide.predict(x_t, model_time, candidates)
        loss = dusa_u_loss(
            logits,
            candidates,
            conditional,
            self.guide.predict_unconditional(x_t, model_time),
            target,
            normalise_logits=self.options.normalise_logits,
            **self.options.loss.model_dump(),
        )
        errors = (conditional - target[:, None]).square().flatten(2).mean(dim=2)
        return loss, errors


def dusa_u_loss(
    logits: torch.Tensor,
    candidates: torch.Tensor,
    conditional: torch.Tensor,
    unconditional: torch.Tensor,
    target: torch.Tensor,
    *,
    normalise_logits: bool,
    distance: str,
    p: float,
    c: float,
    cosine_weight: float,
) -> torch.Tensor:
    """DUSA-U's objective: both the unconditional and the combined prediction should meet the target.

    Args:
        logits: (B, C) raw logits; the gradient reaches them through the weights.
        candidates: (B, K) int64 classes.
        conditional: (B, K, ...) one prediction per candidate; no gradient reaches them.
        unconditional: (B, ...) prediction without a class; the gradient reaches the guide through it.
        target: (B, ...) noise or velocity.
        normalise_logits, distance, p, c, cosine_weight: see :func:`dusa_ignite.methods.losses.dusa_loss`.

    Returns:
        Scalar, the mean over the batch.
    """
    options: dict[str, Any] = {"distance": distance, "p": p, "c": c, "cosine_weight": cosine_weight}
    combined = dusa_loss(logits, candidates, conditional.detach(), target, normalise_logits=normalise_logits, **options)
    return image_losses(unconditional, target, **options).mean() + combined
