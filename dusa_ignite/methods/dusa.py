"""DUSA: a diffusion or flow transformer teaches the classifier (Li et al., NeurIPS 2024, arXiv 2501.00873).

The paper's claim: a sum of the class-conditional scores, weighted by the class probabilities, is the unconditional
score. So the classifier's probabilities, as weights, should make the conditional predictions add up to the noise (or
velocity) that was really there, and that can be checked without a label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from torch.nn import functional as F

from dusa_ignite.distributed import all_reduce_gradients, global_sum
from dusa_ignite.methods.diagnostics import guidance_diagnostics
from dusa_ignite.methods.step import chunks, finite_step, trainable_parameters
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guide import Guide
from dusa_ignite.models.times import TimeSampler
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.random import sample_generators

DRAWS = ("multinomial", "uniform")
DISTANCES = ("mse", "norm_l2")


def select_candidates(
    logits: torch.Tensor,
    *,
    num_top: int,
    num_random: int,
    temperature: float = 1.0,
    draw: str = "multinomial",
    generators: Sequence[torch.Generator] | None = None,
) -> torch.Tensor:
    """The classes worth asking the guide about: the most likely ones, and a few others.

    The others are drawn without replacement from the remaining classes, with probability softmax(logits / temperature)
    (``multinomial``, by the Gumbel-top-k trick) or equal probability (``uniform``).

    Args:
        logits: (B, C) raw logits.
        num_top: most likely classes, >= 1.
        num_random: other classes, >= 0; num_top + num_random <= C.
        temperature: > 0; larger draws more evenly.
        draw: ``multinomial`` or ``uniform``.
        generators: one CPU generator per image; ``None`` = torch's global one.

    Returns:
        (B, num_top + num_random) int64: the top classes in falling order, then the drawn ones in the order of the draw.

    Raises:
        ValueError: more candidates than classes, a temperature that is not positive, or an unknown draw.
    """
    count, num_classes = logits.shape
    if not 1 <= num_top <= num_top + num_random <= num_classes:
        raise ValueError(f"num_top={num_top} + num_random={num_random} candidates do not fit {num_classes} classes")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, not {temperature}")
    if draw not in DRAWS:
        raise ValueError(f"draw must be one of {DRAWS}, not {draw!r}")
    logits = logits.detach()
    top = logits.topk(num_top, dim=1).indices
    if num_random == 0:
        return top
    scores = _gumbel(count, num_classes, generators).to(logits.device)
    if draw == "multinomial":
        scores = scores + logits.double() / temperature
    others = scores.scatter(1, top, -torch.inf).topk(num_random, dim=1).indices
    return torch.cat([top, others], dim=1)


def _gumbel(count: int, num_classes: int, generators: Sequence[torch.Generator] | None) -> torch.Tensor:
    """(count, num_classes) standard Gumbel draws, float64, on the CPU."""
    draws = torch.empty(count, num_classes, dtype=torch.float64)
    if generators is None:
        draws.exponential_()
    else:
        for row, generator in zip(draws, generators, strict=True):
            row.exponential_(generator=generator)
    return -draws.log()


def candidate_weights(logits: torch.Tensor, candidates: torch.Tensor, *, normalise_logits: bool = True) -> torch.Tensor:
    """(B, K) weights: the softmax over the candidates of the (L2-normalised) logits (B, C); they carry the gradient."""
    z = F.normalize(logits, dim=1) if normalise_logits else logits
    return z.gather(1, candidates).softmax(dim=1)


def image_losses(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    distance: str = "mse",
    p: float = 0.5,
    c: float = 1e-3,
    cosine_weight: float = 0.0,
) -> torch.Tensor:
    """(B,) losses between predictions and targets (B, ...).

    With e the mean squared error of an image: ``mse`` is e, ``norm_l2`` is e / (e + c)^p, the denominator taken as a
    constant. ``cosine_weight`` adds that many times 1 - cosine similarity of the flattened arrays.

    Raises:
        ValueError: unknown distance.
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {DISTANCES}, not {distance!r}")
    prediction, target = prediction.flatten(1), target.flatten(1)
    loss = (prediction - target).square().mean(dim=1)
    if distance == "norm_l2":
        loss = loss / (loss.detach() + c).pow(p)
    if cosine_weight:
        loss = loss + cosine_weight * (1 - F.cosine_similarity(prediction, target, dim=1))
    return loss


def dusa_loss(
    logits: torch.Tensor,
    candidates: torch.Tensor,
    predictions: torch.Tensor,
    target: torch.Tensor,
    *,
    normalise_logits: bool = True,
    distance: str = "mse",
    p: float = 0.5,
    c: float = 1e-3,
    cosine_weight: float = 0.0,
) -> torch.Tensor:
    """DUSA's objective: the weighted sum of the conditional predictions against what the path asks for.

    Args:
        logits: (B, C) raw logits; the gradient reaches them through the weights.
        candidates: (B, K) int64 classes.
        predictions: (B, K, ...) one prediction per candidate; the gradient reaches the guide through them.
        target: (B, ...) noise or velocity.
        normalise_logits: whether the weights are taken over L2-normalised logits, as in the paper.
        distance, p, c, cosine_weight: see :func:`image_losses`.

    Returns:
        Scalar, the mean over the batch (DUSA paper, equation 10).
    """
    weights = candidate_weights(logits, candidates, normalise_logits=normalise_logits)
    combined = torch.einsum("bk,bk...->b...", weights.to(predictions.dtype), predictions)
    losses = image_losses(combined, target, distance=distance, p=p, c=c, cosine_weight=cosine_weight)
    return losses.mean()


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
        stepped = total > 0 and finite_step(optimizer, scaler, parameters, loss_value)
        diagnostics = guidance_diagnostics(torch.cat(all_errors), num_top=num_top, total=max(total, 1))
        return {
            "y_pred": torch.cat(all_logits),
            "y": batch["labels"].to(device),
            "loss": loss_value,
            "diagnostics": {**diagnostics, "skipped_update": float(total > 0 and not stepped)},
        }

    return update
