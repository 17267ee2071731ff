"""SAR: sharpness-aware and reliable entropy minimisation (Niu et al., ICLR 2023, arXiv 2302.12400).

With E the entropy of an image's prediction, and E0 = 0.4 ln C:

1. g = gradient of the mean E over the reliable images, E < E0; eps = rho g / ||g||_2, the norm over all parameters
   together (eq. 4).
2. The step follows the gradient, at theta + eps, of the mean E over those of them that are reliable there too.
3. A moving average of that loss (0.9 old, 0.1 new) below 0.2 means that the model collapses: the parameters return to
   their source values, the optimizer and the average to nothing.

Norm layers learn, but for those of the last layers, see
:func:`dusa_ignite.models.early_norms.early_norm_parameters`. Published: SGD, momentum 0.9, learning rate 2.5e-4 for
ResNet50, 1e-3 for ViT-B/16; batches of 64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from ignite.engine import Engine
from torch import nn

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.methods.entropy import backpropagate_entropy
from dusa_ignite.methods.step import Update, finite_step, trainable_parameters
from dusa_ignite.methods.teacher import source_values
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import to_float


class SarMemory:
    """What SAR keeps between updates: the moving average of its loss, NaN before the first.

    The source values to recover beside it never change.

    Args:
        classifier: with the source weights.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.loss_average = math.nan
        self.source = source_values(classifier)

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"loss_average": self.loss_average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.loss_average = state["loss_average"]


def sar(
    *,
    classifier: Classifier,
    optimizer: torch.optim.Optimizer,
    memory: SarMemory,
    micro_batch_size: int,
    entropy_margin: float = 0.4,
    rho: float = 0.05,
    loss_decay: float = 0.9,
    recovery_threshold: float = 0.2,
) -> Update:
    """The process function of one SAR update per batch.

    Its loss is that at the perturbed weights; NaN where no image is reliable there, and then nothing is learnt.

    Args:
        classifier: in eval mode.
        optimizer: over the parameters that learn, in the paper those of early norm layers.
        memory: made from the source classifier; stateful.
        micro_batch_size: images in the graph at once; no effect on results.
        entropy_margin: E0 / ln C, > 0.
        rho: length of the perturbation, >= 0.
        loss_decay: of the moving average, in [0, 1].
        recovery_threshold: of the moving average, in nats, >= 0; 0 = never.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`. ``diagnostics`` has
        ``reliable``, the share of images learnt from, and ``recovered``, whether the source values came back.
    """
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype
    margin = entropy_margin * math.log(classifier.num_classes)

    def reliable(logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        """1 or 0 for each image."""
        return (~(entropies >= margin)).to(entropies)  # NaN is: it has to skip the update

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        options: dict[str, Any] = {"parameters": parameters, "micro_batch_size": micro_batch_size}
        logits, first, loss, number = backpropagate_entropy(classifier, images, reliable, **options)
        stepped = skipped = recovered = False
        norm = gradient_norm(parameters)
        if number and math.isfinite(loss + norm):
            with perturbed(parameters, scale=rho / (norm + 1e-12)):
                _, _, loss, number = backpropagate_entropy(
                    classifier, images, lambda logits, entropies: first * reliable(logits, entropies), **options
                )
            stepped = number > 0 and finite_step(optimizer, parameters, loss)
            skipped = number > 0 and not stepped
        elif number:
            skipped = True
            optimizer.zero_grad(set_to_none=True)
        if stepped:
            average = memory.loss_average
            memory.loss_average = loss if math.isnan(average) else loss_decay * average + (1 - loss_decay) * loss
            recovered = memory.loss_average < recovery_threshold
        if recovered:
            recover(classifier, optimizer, memory)
        return {
            "y_pred": logits,
            "y": batch["labels"].to(device),
            "loss": loss,
            "diagnostics": {
                "reliable": number / max(global_sum(len(logits)), 1),
                "recovered": float(recovered),
                "skipped_update": float(skipped),
            },
        }

    return update


def gradient_norm(parameters: Sequence[nn.Parameter]) -> float:
    """The length of the gradient of all parameters together; those without one count as zero."""
    norms = [torch.linalg.vector_norm(p.grad, dtype=torch.float64) for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(norms)).item() if norms else 0.0


@contextmanager
def perturbed(parameters: Sequence[nn.Parameter], *, scale: float) -> Iterator[None]:
    """Within this context the parameters are moved along their gradient, which is dropped; afterwards they are exactly
    what they were.

    Args:
        parameters: those without a gradient stay.
        scale: by how many times the gradient, any finite number; in the paper rho / ||g||_2.
    """
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    kept = [parameter.detach().clone() for parameter in moved]
    with torch.no_grad():
        for parameter in moved:
            assert parameter.grad is not None
            parameter.add_(parameter.grad, alpha=scale)
            parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(moved, kept, strict=True):
                parameter.copy_(value)


@torch.no_grad()
def recover(classifier: Classifier, optimizer: torch.optim.Optimizer, memory: SarMemory) -> None:
    """Parameters return to their source values; the optimizer's moments and the loss's average start anew."""
    for name, parameter in classifier.named_parameters():
        if name in memory.source:
            parameter.copy_(memory.source[name])
    optimizer.state.clear()
    memory.loss_average = math.nan
