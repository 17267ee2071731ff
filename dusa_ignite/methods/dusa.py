"""DUSA: a diffusion or flow transformer teaches the classifier (Li et al., NeurIPS 2024, arXiv 2501.00873).

The paper's claim: a sum of the class-conditional scores, weighted by the class probabilities, is the unconditional
score. So the classifier's probabilities, as weights, should make the conditional predictions add up to the noise (or
velocity) that was really there, and that can be checked without a label.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.distributed import all_reduce_gradients, global_sum
from dusa_ignite.methods.candidates import select_candidates
from dusa_ignite.methods.diagnostics import guidance_diagnostics
from dusa_ignite.methods.losses import dusa_loss
from dusa_ignite.methods.step import chunks, finite_step, trainable_parameters
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guide import Guide
from dusa_ignite.models.times import TimeSampler
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.random import sample_generators

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
) -> Callable[[Engine, dict[str, Any]], dict[str, Any]]:
    """The process function of one DUSA update per batch.

    The loss is a mean over the global batch, so neither the micro-batch size nor the number of processes changes the
    update. Noise, time and candidates are drawn from a generator of each image's own.

    Args:
        classifier, guide: in eval mode; what of them is trainable learns.
        optimizer: over those parameters.
        seed: of the draws.
        time: draws the noise level, see :mod:`dusa_ignite.models.times`.
        micro_batch_size: images in the graph at once; a classifier whose BatchNorm uses the batch's statistics sees the
            whole batch at once all the same.
        scaler: of the loss, for float16.
        num_top, num_random, temperature, candidate_draw: see :func:`select_candidates`.
        normalise_logits, distance, p, c, cosine_weight: see :func:`dusa_loss`.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`.
    """
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype

    def guidance(
        images: Images, logits: torch.Tensor, generators: list[torch.Generator]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a micro-batch, and the squared error of each candidate's own prediction (B, K)."""
        x0 = guide.encode(images)
        t = torch.tensor([time(generator) for generator in generators], dtype=torch.float64).to(device)
        noise = torch.stack([torch.randn(x0.shape[1:], generator=generator) for generator in generators])
        x_t, target, model_time = guide.path(x0, noise.to(x0), t)
        candidates = select_candidates(
            logits,
            num_top=num_top,
            num_random=num_random,
            temperature=temperature,
            draw=candidate_draw,
            generators=generators,
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

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        generators = sample_generators(seed, batch["task"], batch["index"])
        count = len(generators)
        total = global_sum(count)
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        all_logits = [torch.empty(0, classifier.num_classes, dtype=dtype, device=device)]
        all_errors = [torch.empty(0, num_top + num_random, dtype=dtype, device=device)]

        for outer in chunks(count, count if classifier.mixes_images else micro_batch_size):
            logits = classifier(images[outer])
            leaf = logits.detach().requires_grad_()  # the guide's graph is freed before the classifier's is walked
            for inner in chunks(len(leaf), micro_batch_size):
                part = slice(outer.start + inner.start, outer.start + inner.stop)
                loss, errors = guidance(images[part], leaf[inner], generators[part])
                share = loss * (len(errors) / total)  # of the mean over the global batch
                scaler.scale(share).backward()
                loss_sum += share.detach()
                all_errors.append(errors)
            if logits.requires_grad:
                logits.backward(leaf.grad)
            all_logits.append(leaf.detach())

        all_reduce_gradients(parameters)
        loss_value = global_sum(loss_sum.item()) if total else math.nan
        stepped = total > 0 and finite_step(optimizer, parameters, loss_value, scaler)
        diagnostics = guidance_diagnostics(torch.cat(all_errors), num_top=num_top, total=max(total, 1))
        return {
            "y_pred": torch.cat(all_logits),
            "y": batch["labels"].to(device),
            "loss": loss_value,
            "diagnostics": {**diagnostics, "skipped_update": float(total > 0 and not stepped)},
        }

    return update
