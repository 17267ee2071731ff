"""DUSA-U: only the guide's unconditional branch learns (Li et al., NeurIPS 2024, arXiv 2501.00873).

DUSA's cheaper variant. The transformer adapts to the images through its unconditional prediction alone; the conditional
ones, made without a graph, teach the classifier:

    loss = d(v(x_t, t, no class), target) + d(sum_k w_k stop_gradient(v(x_t, t, k)), target)

with the candidates k, their weights w and the distance d of DUSA.
"""

from __future__ import annotations

from typing import Any

import torch

from dusa_ignite.methods.candidates import select_candidates
from dusa_ignite.methods.diagnostics import guidance_diagnostics
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.guided import guided_update, noised
from dusa_ignite.methods.losses import dusa_loss, image_losses
from dusa_ignite.methods.step import Update
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guides.guide import Guide
from dusa_ignite.models.guides.times import TimeSampler
from dusa_ignite.models.views import Images


def dusa_u(
    *,
    classifier: Classifier,
    guide: Guide,
    optimizer: torch.optim.Optimizer,
    seed: int,
    time: TimeSampler,
    micro_batch_size: int,
    scaler: torch.amp.GradScaler | None = None,
    num_top: int = 4,
    num_random: int = 2,
    temperature: float = 1.0,
    candidate_draw: str = "multinomial",
    normalise_logits: bool = True,
    distance: str = "mse",
    p: float = 0.5,
    c: float = 1e-3,
    cosine_weight: float = 0.0,
) -> Update:
    """The process function of one DUSA-U update per batch.

    Args:
        classifier, guide: in eval mode; what of them is trainable learns.
        optimizer: over those parameters.
        seed: of the draws, which are those of DUSA.
        time: draws the noise level, see :mod:`dusa_ignite.models.guides.times`.
        micro_batch_size, scaler: see :func:`dusa_ignite.methods.guided.guided_update`.
        num_top, num_random, temperature, candidate_draw: see :func:`select_candidates`.
        normalise_logits, distance, p, c, cosine_weight: see :func:`dusa_u_loss`.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`.
    """

    def guidance(images: Images, logits: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a micro-batch, and the squared error of each candidate's own prediction (B, K)."""
        x_t, target, model_time = noised(guide, images, draws)
        candidates = select_candidates(
            logits,
            num_top=num_top,
            num_random=num_random,
            temperature=temperature,
            draw=candidate_draw,
            gumbel=draws.gumbel,
        )
        with torch.no_grad():
            conditional = guide.predict(x_t, model_time, candidates)
        loss = dusa_u_loss(
            logits,
            candidates,
            conditional,
            guide.predict_unconditional(x_t, model_time),
            target,
            normalise_logits=normalise_logits,
            distance=distance,
            p=p,
            c=c,
            cosine_weight=cosine_weight,
        )
        errors = (conditional - target[:, None]).square().flatten(2).mean(dim=2)
        return loss, errors

    return guided_update(
        classifier=classifier,
        guide=guide,
        optimizer=optimizer,
        seed=seed,
        time=time,
        micro_batch_size=micro_batch_size,
        objective=guidance,
        num_columns=num_top + num_random,
        diagnose=lambda errors, total: guidance_diagnostics(errors, num_top=num_top, total=total),
        num_gumbel=classifier.num_classes if num_random else 0,
        scaler=scaler,
    )


def dusa_u_loss(
    logits: torch.Tensor,
    candidates: torch.Tensor,
    conditional: torch.Tensor,
    unconditional: torch.Tensor,
    target: torch.Tensor,
    *,
    normalise_logits: bool = True,
    distance: str = "mse",
    p: float = 0.5,
    c: float = 1e-3,
    cosine_weight: float = 0.0,
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
