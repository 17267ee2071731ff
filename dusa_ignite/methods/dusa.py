"""DUSA: a diffusion or flow transformer teaches the classifier (Li et al., NeurIPS 2024, arXiv 2501.00873).

The paper's claim: a sum of the class-conditional scores, weighted by the class probabilities, is the unconditional
score. So the classifier's probabilities, as weights, should make the conditional predictions add up to the noise (or
velocity) that was really there, and that can be checked without a label.
"""

from __future__ import annotations

import torch

from dusa_ignite.methods.candidates import select_candidates
from dusa_ignite.methods.diagnostics import guidance_diagnostics
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.guided import guided_update, noised
from dusa_ignite.methods.losses import dusa_loss
from dusa_ignite.methods.step import Update
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guides.guide import Guide
from dusa_ignite.models.guides.times import TimeSampler
from dusa_ignite.models.views import Images

__all__ = ["dusa", "dusa_loss", "select_candidates"]


def dusa(
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
    """The process function of one DUSA update per batch.

    The loss is a mean over the global batch, so neither the micro-batch size nor the number of processes changes the
    update. Noise, time and candidates are drawn from a generator of each image's own.

    Args:
        classifier, guide: in eval mode; what of them is trainable learns.
        optimizer: over those parameters.
        seed: of the draws.
        time: draws the noise level, see :mod:`dusa_ignite.models.guides.times`.
        micro_batch_size: images in the graph at once; a classifier whose BatchNorm uses the batch's statistics sees the
            whole batch at once all the same.
        scaler: of the loss, for float16.
        num_top, num_random, temperature, candidate_draw: see :func:`select_candidates`.
        normalise_logits, distance, p, c, cosine_weight: see :func:`dusa_loss`.

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
        predictions = guide.predict(x_t, model_time, candidates)
        loss = dusa_loss(
            logits,
            candidates,
            predictions,
            target,
            normalise_logits=normalise_logits,
            distance=distance,
            p=p,
            c=c,
            cosine_weight=cosine_weight,
        )
        errors = (predictions.detach() - target[:, None]).square().flatten(2).mean(dim=2)
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
