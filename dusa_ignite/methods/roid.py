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
from typing import Any, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from dusa_ignite.distributed.collectives import gather_batch, global_sum, position_in_batch
from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.engine import Batch
from dusa_ignite.methods.augmentations import augment
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.losses import symmetric_cross_entropy
from dusa_ignite.methods.teacher import source_values
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import DeferredBackward
from dusa_ignite.models.views import Images
from dusa_ignite.utils.seeding import sample_generators


class Roid(Method):
    """One ROID update per batch; the affine parameters of the norm layers learn in the paper.

    A batch that is left over with a single image has the weight 1. The state is the mean prediction q,
    ``mean_prediction`` (C,); the source values never change. ``diagnostics`` have ``reliable``, the share of images
    whose weight is not 0.
    """

    class Options(Method.Options):
        """Certainty and diversity weighting, weight ensembling, prior correction (arXiv 2306.00650)."""

        name: Literal["roid"] = "roid"
        temperature: float = Field(default=1 / 3, gt=0, description="of the images' weights, > 0")
        prediction_decay: float = Field(default=0.9, ge=0, le=1, description="of the mean prediction, in [0, 1]")
        source_decay: float = Field(
            default=0.99, ge=0, le=1, description="of the weight ensembling with the source, in [0, 1]; 1 = none"
        )
        clip: float = Field(default=0.99, gt=0, lt=1, description="largest probability in the loss, in (0, 1)")
        weighting: bool = Field(default=True, description="weigh images by certainty and diversity")
        consistency: bool = Field(default=True, description="augmented images should be predicted alike")
        prior_correction: bool = Field(default=True, description="multiply predictions by the batch's mean prediction")

    trains = "norms"
    smallest_batch = 2

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """The source values; clean and augmented images are in the graph together."""
        return Footprint(trained=1, graphs=2 if options.consistency else 1)

    def __init__(self, options: Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        number = self.classifier.num_classes
        self.mean_prediction = torch.full((number,), 1 / number, dtype=self.dtype, device=self.device)
        self.source = source_values(self.classifier)

    def adapt(self, images: Images, batch: Batch) -> Step:
        """Learn from weighted images and their augmented versions, then move towards the source."""
        options = self.options
        own = position_in_batch(len(batch["index"]))
        clean = DeferredBackward(self.classifier, images, micro_batch_size=self.micro_batch_size)
        predictions = gather_batch(clean.logits)  # of the global batch
        total = len(predictions)
        if options.weighting:
            weights = image_weights(predictions, self.mean_prediction, temperature=options.temperature)
        else:
            weights = torch.ones(total, dtype=self.dtype, device=self.device)
        reliable = weights > 0
        forwards = [clean]
        losses = (soft_likelihood_ratio(clean.logits, clip=options.clip) * weights[own]).sum()
        if options.consistency and reliable.any():  # of the global batch: all processes decide alike
            chosen = reliable[own].nonzero().squeeze(1).tolist()
            generators = sample_generators(self.seed, batch["task"], batch["index"][chosen])
            crop = self.classifier.crop(images)[chosen]
            augmented = augment(crop, generators, padding="reflect", blur_and_noise=False)
            changed = DeferredBackward(self.classifier, augmented, micro_batch_size=self.micro_batch_size)
            forwards.append(changed)
            disagreement = symmetric_cross_entropy(changed.logits, clean.logits[chosen]) * weights[own][chosen]
            losses = losses + disagreement.sum()
        share = losses / max(total, 1)
        share.backward()
        for forward in forwards:
            forward.backward()
        all_reduce_gradients(self.parameters)
        loss = global_sum(share.item()) if total else math.nan
        stepped = self.step(loss) if total else None
        if stepped:
            ensemble(self.classifier, self.source, decay=options.source_decay)
            self.mean_prediction = self.mean_prediction.lerp(
                predictions.softmax(dim=1).mean(dim=0), 1 - options.prediction_decay
            )
        logits = correct_prior(predictions) if options.prior_correction else predictions
        return Step(logits[own], loss, stepped, {"reliable": reliable.double().mean().item() if total else 0.0})

    def correct(self, logits: torch.Tensor) -> torch.Tensor:
        """The prior correction, over the global batch that these logits (B, C) are this process's share of."""
        if not self.options.prior_correction:
            return logits
        return correct_prior(gather_batch(logits))[position_in_batch(len(logits))]

    def state_dict(self) -> dict[str, Any]:
        """The mean prediction."""
        return {"mean_prediction": self.mean_prediction}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy it."""
        self.mean_prediction = state["mean_prediction"].to(self.mean_prediction, copy=True)


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
    log_p = logits.log_softmax(dim=1)
    finite = log_p[log_p.isfinite().all(dim=1)]  # one image that is not must not take the predictions of all others
    count, num_classes = finite.shape
    if count == 0:
        return logits
    mean = finite.exp().mean(dim=0)
    smooth = max(1 / count, 1 / num_classes) / mean.max()
    return log_p + ((mean + smooth) / (1 + smooth * num_classes)).log()
