"""ROID: certainty and diversity weighting, weight ensembling, prior correction (Marsden, Doebler & Yang, WACV 2024,
arXiv 2306.00650).

With p_i the prediction for image i of a batch of B, and q a moving average of the batch's mean prediction:

* weights: diversity 1 - cos(p_i, q) and certainty -H(p_i), each stretched to [0, 1] over the batch; an image whose
  diversity is below the mean has weight 0, the others exp(diversity * certainty / temperature);
* loss: the weighted mean of the soft likelihood ratio -sum_c p_c log(p_c / (1 - p_c)), p clipped at 0.99, plus the
  weighted symmetric cross-entropy between the predictions for the image and for an augmented version of it;
* after the step, weight ensembling: parameters <- 0.99 parameters + 0.01 source parameters;
* the prediction p, from before the step, is multiplied by the batch's mean prediction, smoothed with
  s = max(1/B, 1/C) / max_c mean_c: (mean_c + s) / (1 + s C). (The authors' code multiplies the logits instead.)

Every image is augmented by draws of its own, where the authors' code draws once for a whole batch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Engine
from torch.nn import functional as F

from dusa_ignite.distributed.collectives import all_reduce_gradients, gather_batch, global_sum, position_in_batch
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.cotta import symmetric_cross_entropy
from dusa_ignite.methods.step import Pass, Update, finite_step, trainable_parameters
from dusa_ignite.methods.teacher import source_values
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float
from dusa_ignite.utils.seeding import sample_generators


class RoidMemory:
    """What ROID keeps between updates: the mean prediction q. The source parameters beside it never change.

    Args:
        classifier: with the source weights.
    """

    def __init__(self, classifier: Classifier) -> None:
        parameter = next(classifier.parameters())
        self.mean_prediction = parameter.new_full((classifier.num_classes,), 1 / classifier.num_classes).detach()
        self.source = source_values(classifier)

    def state_dict(self) -> dict[str, Any]:
        """The mean prediction (C,)."""
        return {"mean_prediction": self.mean_prediction}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy it."""
        self.mean_prediction = state["mean_prediction"].to(self.mean_prediction, copy=True)


def roid(
    *,
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    memory: RoidMemory,
    seed: int,
    micro_batch_size: int,
    temperature: float = 1 / 3,
    prediction_decay: float = 0.9,
    source_decay: float = 0.99,
    clip: float = 0.99,
    weighting: bool = True,
    consistency: bool = True,
    prior_correction: bool = True,
) -> Update:
    """The process function of one ROID update per batch.

    A batch that is left over with a single image has the weight 1.

    Args:
        classifier: in eval mode; the affine parameters of its norm layers learn in the paper.
        optimizer: over those parameters.
        memory: made from the source classifier; stateful.
        seed: of the augmentations, keyed by image.
        micro_batch_size: images in the graph at once; no effect on results.
        temperature: of the weights, > 0.
        prediction_decay: of the mean prediction, in [0, 1].
        source_decay: of the weight ensembling, in [0, 1]; 1 = none.
        clip: largest probability within the likelihood ratio, in (0, 1).
        weighting: false: all images weigh 1.
        consistency: whether the augmented images take part.
        prior_correction: whether predictions are corrected.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`. ``diagnostics`` has
        ``reliable``, the share of images whose weight is not 0.
    """
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        own = position_in_batch(len(batch["index"]))
        clean = Pass(classifier, images, micro_batch_size=micro_batch_size)
        predictions = gather_batch(clean.logits)  # of the global batch
        total = len(predictions)
        if weighting:
            weights = image_weights(predictions, memory.mean_prediction, temperature=temperature)
        else:
            weights = torch.ones(total, dtype=dtype, device=device)
        reliable = weights > 0
        passes = [clean]
        losses = (soft_likelihood_ratio(clean.logits, clip=clip) * weights[own]).sum()
        if consistency and reliable.any():  # of the global batch: all processes decide alike
            chosen = reliable[own].nonzero().squeeze(1).tolist()
            generators = sample_generators(seed, batch["task"], batch["index"][chosen])
            crop = classifier.crop(images)[chosen]
            augmented = augment(crop, generators, padding="reflect", blur_and_noise=False)
            changed = Pass(classifier, augmented, micro_batch_size=micro_batch_size)
            passes.append(changed)
            disagreement = symmetric_cross_entropy(changed.logits, clean.logits[chosen]) * weights[own][chosen]
            losses = losses + disagreement.sum()
        share = losses / max(total, 1)
        share.backward()
        for each in passes:
            each.backward()
        all_reduce_gradients(parameters)
        loss = global_sum(share.item()) if total else math.nan
        stepped = total > 0 and finite_step(optimizer, parameters, loss)
        if stepped:
            ensemble(classifier, memory.source, decay=source_decay)
            memory.mean_prediction = memory.mean_prediction.lerp(
                predictions.softmax(dim=1).mean(dim=0), 1 - prediction_decay
            )
        logits = correct_prior(predictions) if prior_correction else predictions
        return {
            "y_pred": logits[own],
            "y": batch["labels"].to(device),
            "loss": loss,
            "diagnostics": {
                "reliable": reliable.double().mean().item() if total else 0.0,
                "skipped_update": float(total > 0 and not stepped),
            },
        }

    return update


@torch.no_grad()
def image_weights(logits: torch.Tensor, mean_prediction: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """How much each image of a batch counts, by its certainty and by its diversity.

    Args:
        logits: (B, C) of the whole global batch, over which diversity and certainty are stretched; B may be 0.
        mean_prediction: (C,) moving mean of predictions, probabilities.
        temperature: > 0; smaller makes the weights differ more.

    Returns:
        (B,): 0 where an image is less diverse than the batch is on average, else in [1, exp(1 / temperature)].
    """
    if len(logits) == 0:
        return logits.new_empty(0)
    log_p = logits.log_softmax(dim=1)
    diversity = _stretch(1 - F.cosine_similarity(mean_prediction[None], log_p.exp(), dim=1))
    certainty = _stretch((log_p.exp() * log_p).sum(dim=1))
    weights = (diversity * certainty / temperature).exp()
    return weights.masked_fill(diversity < diversity.mean(), 0.0)


def _stretch(values: torch.Tensor) -> torch.Tensor:
    """Values (B,), B >= 1, moved and scaled so that the lowest is 0 and the highest 1; all 0 where they are equal."""
    low, high = values.aminmax()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def soft_likelihood_ratio(logits: torch.Tensor, *, clip: float) -> torch.Tensor:
    """(B,) -sum_c p_c log(p_c / (1 - p_c)) of logits (B, C), p their softmax.

    Args:
        logits: (B, C).
        clip: largest p_c, in (0, 1); beyond it no gradient passes.
    """
    log_p = logits.log_softmax(dim=1).clamp(max=math.log(clip))
    log_rest = torch.log1p(-log_p.exp())
    return -(log_p.exp() * (log_p - log_rest)).sum(dim=1)


@torch.no_grad()
def ensemble(classifier: Classifier, source: dict[str, torch.Tensor], *, decay: float) -> None:
    """parameters <- decay * parameters + (1 - decay) * source; exact where both are equal."""
    for name, parameter in classifier.named_parameters():
        if name in source:
            parameter.lerp_(source[name], 1 - decay)


@torch.no_grad()
def correct_prior(logits: torch.Tensor) -> torch.Tensor:
    """(B, C) logarithms (up to a constant per image) of the predictions times the smoothed mean prediction."""
    count, num_classes = logits.shape
    if count == 0:
        return logits
    log_p = logits.log_softmax(dim=1)
    mean = log_p.exp().mean(dim=0)
    smooth = max(1 / count, 1 / num_classes) / mean.max()
    return log_p + ((mean + smooth) / (1 + smooth * num_classes)).log()


def correct_share(logits: torch.Tensor) -> torch.Tensor:
    """(B, C) as :func:`correct_prior` has it, from this process's share of a global batch; all processes take part."""
    return correct_prior(gather_batch(logits))[position_in_batch(len(logits))]
