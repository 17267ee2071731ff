"""EATA: efficient anti-forgetting test-time adaptation (Niu et al., ICML 2022, arXiv 2204.02610).

An image learns if it is reliable, E < E0 with E the entropy of its prediction p and E0 = 0.4 ln C, and not
redundant, |cos(p, m)| < d with m a moving average of the predictions that were learnt from. The loss is

    mean_i exp(E0 - E_i) E_i + beta sum_k F_k (theta_k - theta_k source)^2

with the weights exp(E0 - E) held constant and F the Fisher information on clean images. Without the last term
the method is called ETA. Published: SGD, learning rate 2.5e-4, momentum 0.9, batches of 64; affine parameters of the
norm layers; d = 0.05 for 1,000 classes, 0.4 for 10, where predictions are never that far apart; beta = 2000 on 2,000
images for ImageNet-C.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from ignite.engine import Engine
from torch.nn import functional as F

from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.methods.entropy import backpropagate_entropy
from dusa_ignite.methods.step import Update, backpropagate, finite_step, learning_parameters, trainable_parameters
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import Images, to_float

Fisher = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""For every parameter that learns, by its name: Fisher information and source value, both of its shape."""


class EataMemory:
    """What EATA keeps between updates: the moving average of the predictions learnt from, NaN before the first.

    Args:
        classifier: the one that learns.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.mean_prediction = next(classifier.parameters()).detach().new_full((classifier.num_classes,), math.nan)

    def state_dict(self) -> dict[str, Any]:
        """The mean prediction (C,)."""
        return {"mean_prediction": self.mean_prediction}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy it."""
        self.mean_prediction = state["mean_prediction"].to(self.mean_prediction, copy=True)


def eata(
    *,
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    memory: EataMemory,
    micro_batch_size: int,
    fisher: Fisher | None = None,
    beta: float = 2000.0,
    entropy_margin: float = 0.4,
    redundancy_margin: float = 0.05,
    prediction_decay: float = 0.9,
) -> Update:
    """The process function of one EATA update per batch.

    A batch without an image to learn from changes nothing, the moving average included.

    Args:
        classifier: in eval mode.
        optimizer: over the parameters that learn, in the paper those of the norm layers.
        memory: stateful.
        micro_batch_size: images in the graph at once; no effect on results.
        fisher: of :func:`fisher_information`; ``None`` = ETA.
        beta: weight of its term, >= 0.
        entropy_margin: E0 / ln C, > 0.
        redundancy_margin: d, >= 0; above 1 no image is redundant.
        prediction_decay: of the moving average, in [0, 1].

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`. ``diagnostics`` has
        ``reliable``, the share of images learnt from.
    """
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype
    margin = entropy_margin * math.log(classifier.num_classes)

    def weigh(logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        # A comparison with NaN is false: before the first update nothing is redundant, and an image whose entropy is
        # not finite is not left out, so that the update is skipped and counted.
        similarity = F.cosine_similarity(logits.softmax(dim=1), memory.mean_prediction[None], dim=1)
        left_out = (entropies >= margin) | (similarity.abs() >= redundancy_margin)
        return (margin - entropies).exp().masked_fill(left_out, 0.0)

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        logits, weights, loss, number = backpropagate_entropy(
            classifier, images, weigh, parameters=parameters, micro_batch_size=micro_batch_size
        )
        stepped = False
        if number:
            if fisher is not None:
                loss += backpropagate_drift(classifier, fisher, beta=beta)
            stepped = finite_step(optimizer, parameters, loss)
        predictions = logits[weights != 0].softmax(dim=1)  # those learnt from
        *sums, total = global_sums(torch.cat([predictions.sum(dim=0), logits.new_tensor([len(logits)])]))
        if stepped:
            mean = torch.tensor(sums, dtype=torch.float64).to(memory.mean_prediction) / number
            first = memory.mean_prediction.isnan().any()
            memory.mean_prediction = mean if first else mean.lerp(memory.mean_prediction, prediction_decay)
        return {
            "y_pred": logits,
            "y": batch["labels"].to(device),
            "loss": loss,
            "diagnostics": {
                "reliable": number / max(total, 1),
                "skipped_update": float(number > 0 and not stepped),
            },
        }

    return update


@torch.no_grad()
def backpropagate_drift(classifier: Classifier, fisher: Fisher, *, beta: float) -> float:
    """EATA's penalty on drift from the source, beta sum_k F_k (theta_k - theta_k source)^2.

    Args:
        classifier: the gradient is added to that of its parameters, which may have none yet. It is the same in all
            processes, so it is to be added after theirs have been summed.
        fisher: of :func:`fisher_information`.
        beta: >= 0.

    Returns:
        The penalty, >= 0.
    """
    named = dict(classifier.named_parameters())
    value = torch.zeros((), dtype=torch.float64, device=next(classifier.parameters()).device)
    for name, (information, source) in fisher.items():
        parameter = named[name]
        drift = parameter - source
        gradient = 2 * beta * information * drift
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        value += beta * (information * drift.square()).sum()
    return value.item()


def fisher_information(
    classifier: Classifier, batches: Iterable[Images], *, micro_batch_size: int
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The diagonal Fisher information of the parameters that learn, with the classifier's own predictions as labels.

    As in the authors' code, for which beta was chosen, it is the mean over *batches* (64 images there) of the squared
    gradient of a batch's mean cross-entropy; batches of one image give the paper's formula. Every process computes
    it from the same images. The classifier stays as it is.

    Args:
        classifier: with the source weights, in eval mode.
        batches: clean images, float RGB in [0, 1] on the classifier's device; all batches but the last of one size.
        micro_batch_size: images in the graph at once; no effect on results.

    Raises:
        ValueError: there is no image.
    """
    learning = learning_parameters(classifier)
    total = {name: torch.zeros_like(parameter) for name, parameter in learning.items()}
    number = 0
    classifier.zero_grad(set_to_none=True)
    for images in batches:
        number += 1
        backpropagate(
            classifier,
            images,
            lambda logits: F.cross_entropy(logits, logits.argmax(dim=1)),
            micro_batch_size=micro_batch_size,
        )
        for name, parameter in learning.items():
            if parameter.grad is not None:
                total[name] += parameter.grad.square()
        classifier.zero_grad(set_to_none=True)
    if number == 0:
        raise ValueError("the Fisher information needs at least one batch of clean images")
    return {name: (total[name] / number, parameter.detach().clone()) for name, parameter in learning.items()}
