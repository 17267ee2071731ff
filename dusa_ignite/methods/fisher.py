"""EATA's Fisher information: how much each parameter matters on clean images, and what drift from the source costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch.nn import functional as F

from dusa_ignite.data.clean import clean_images
from dusa_ignite.data.stream import stack_images
from dusa_ignite.methods.step import named_trainable
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.forward import backpropagate, slices
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import numpy_generator

Fisher = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""For every parameter that learns, by its name: Fisher information and source value, both of its shape."""

BATCH = 64  # images; beta was chosen for it


def clean_batches(root: str, *, number: int, seed: int, device: torch.device, dtype: torch.dtype) -> Iterator[Images]:
    """Clean images drawn at random, the same in every process, in batches.

    Args:
        root: see :func:`dusa_ignite.data.clean.clean_images`.
        number: images drawn, >= 1; at most all.
        seed: of the draw.
        device, dtype: of the batches, which are float RGB in [0, 1].
    """
    dataset = clean_images(root, key="method.fisher_root")
    chosen = numpy_generator(seed, "fisher").permutation(len(dataset))[:number]
    for part in slices(len(chosen), BATCH):
        images = stack_images([dataset[int(index)][0] for index in chosen[part]])
        yield to_float(images, device=device, dtype=dtype)


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


def fisher_information(classifier: Classifier, batches: Iterable[Images], *, micro_batch_size: int) -> Fisher:
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
    trainable = named_trainable(classifier)
    total = {name: torch.zeros_like(parameter) for name, parameter in trainable.items()}
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
        for name, parameter in trainable.items():
            if parameter.grad is not None:
                total[name] += parameter.grad.square()
        classifier.zero_grad(set_to_none=True)
    if number == 0:
        raise ValueError("the Fisher information needs at least one batch of clean images")
    return {name: (total[name] / number, parameter.detach().clone()) for name, parameter in trainable.items()}
