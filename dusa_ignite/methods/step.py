"""Pieces that every update is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from dusa_ignite.distributed import global_sum, local
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import Images


def chunks(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``range(count)``."""
    for start in range(0, count, max(size, 1)):
        yield slice(start, min(start + size, count))


def trainable_parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """All parameters of an optimizer, group after group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def backpropagate(
    classifier: Classifier,
    images: Images,
    loss: Callable[[torch.Tensor], torch.Tensor],
    *,
    micro_batch_size: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of any loss of a batch's logits, with at most ``micro_batch_size`` images in the graph at once.

    The loss is differentiated with respect to the logits alone; that gradient is then carried through the classifier
    chunk by chunk, after a first pass without a graph where there is more than one. A classifier whose images depend on
    each other goes in one piece.

    Args:
        classifier: its parameters' gradients are added to.
        images: float RGB in [0, 1], B of them; B may be 0.
        loss: maps logits (B, C) to a scalar, already divided by what is global over processes.
        micro_batch_size: images in the graph at once.

    Returns:
        The logits (B, C) and the loss, both detached.
    """
    count = len(images)
    parts = list(chunks(count, count if classifier.mixes_images else micro_batch_size))
    with torch.set_grad_enabled(len(parts) == 1):
        outputs = [classifier(images[part]) for part in parts]
    empty = next(classifier.parameters()).new_empty(0, classifier.num_classes)
    leaf = torch.cat([empty, *(output.detach() for output in outputs)]).requires_grad_()
    value = loss(leaf)
    if value.requires_grad:
        value.backward()
    if leaf.grad is not None:
        for part in parts:
            output = outputs[0] if len(parts) == 1 else classifier(images[part])
            output.backward(leaf.grad[part])
    return leaf.detach(), value.detach()


def finite_step(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[torch.nn.Parameter],
    loss: float,
    scaler: torch.amp.GradScaler | None = None,
) -> bool:
    """Take the optimizer's step if the loss and every gradient are finite, then drop the gradients.

    Gradients and loss must already be those of the global batch, so that all processes decide alike.

    Returns:
        Whether the step was taken.
    """
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    if scaler.is_enabled():
        scaler.scale(torch.zeros((), device=parameters[0].device))  # a share without images has not touched it yet
    scaler.unscale_(optimizer)
    finite = math.isfinite(loss) and _all_finite([local(p.grad) for p in parameters if p.grad is not None])
    finite = global_sum(float(not finite)) == 0  # shards differ from process to process
    if finite:
        scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return finite


def _all_finite(gradients: list[torch.Tensor]) -> bool:
    largest = [gradient.abs().amax().double() for gradient in gradients if gradient.numel()]  # a shard may be empty
    return not largest or bool(torch.stack(largest).isfinite().all())  # one transfer for all
