"""Images through a classifier in micro-batches, with and without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch.func import functional_call

from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.views import Images


def slices(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``range(count)``."""
    for start in range(0, count, max(size, 1)):
        yield slice(start, min(start + size, count))


def micro_batches(classifier: Classifier, count: int, *, micro_batch_size: int) -> list[slice]:
    """In which pieces ``count`` images go through the classifier.

    In micro-batches; but in exactly one piece, be it empty, where the images of a batch depend on each other: their
    statistics are taken over all processes, so each has to make every pass that the others make.
    """
    if classifier.uses_batch_statistics:
        return [slice(0, count)]
    return list(slices(count, micro_batch_size))


@torch.no_grad()
def predict(
    classifier: Classifier,
    images: Images,
    *,
    micro_batch_size: int,
    parameters: Mapping[str, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Logits without a graph.

    Args:
        classifier: in eval mode; one whose images depend on each other sees all at once.
        images: float RGB in [0, 1], B of them; B may be 0.
        micro_batch_size: images predicted at once, >= 1.
        parameters: values, by name, that take the place of the classifier's own.

    Returns:
        (B, C), of a segmenter (B, C, h, w).
    """
    logits = []
    for part in micro_batches(classifier, len(images), micro_batch_size=micro_batch_size):
        if parameters is None:
            logits.append(classifier(images[part]))
        else:
            logits.append(functional_call(classifier, dict(parameters), (images[part],)))
    return torch.cat(logits) if logits else classifier.no_logits()


class DeferredBackward:
    """Images through the classifier, whose gradient can wait until a loss of their logits is known.

    Where there is more than one piece, the first pass is made without a graph, and the images go through the classifier
    a second time, piece by piece; those whose logits have no gradient but 0 are spared.

    Args:
        classifier: its parameters' gradients are added to.
        images: float RGB in [0, 1], B of them; B may be 0.
        micro_batch_size: images in the graph at once, >= 1; a classifier whose images depend on each other sees all.

    ``logits`` (B, C), or (B, C, h, w), is a leaf: differentiate a loss with respect to it, then call :meth:`backward`.
    """

    def __init__(self, classifier: Classifier, images: Images, *, micro_batch_size: int) -> None:
        self.classifier, self.images, self.micro_batch_size = classifier, images, micro_batch_size
        parts = micro_batches(classifier, len(images), micro_batch_size=micro_batch_size)
        with torch.set_grad_enabled(len(parts) == 1):
            outputs = [classifier(images[part]) for part in parts]
        self.output = outputs[0] if len(parts) == 1 else None
        logits = torch.cat([output.detach() for output in outputs]) if outputs else classifier.no_logits()
        self.logits = logits.requires_grad_()

    def backward(self) -> None:
        """Carry the logits' gradient, where there is one, to the classifier's parameters."""
        gradient = self.logits.grad
        if gradient is None:
            return
        if self.output is not None:
            if self.output.requires_grad:  # a classifier may be frozen while its guide learns
                self.output.backward(gradient)
            return
        matter = (gradient != 0).flatten(1).any(dim=1)  # NaN is not 0
        matter[:1] |= ~matter.any()  # a gradient of 0 is not a missing one: momentum goes on
        rows = matter.nonzero().squeeze(1)
        for part in slices(len(rows), self.micro_batch_size):
            self.classifier(select(self.images, rows[part])).backward(gradient[rows[part]])


def rows_of(logits: torch.Tensor) -> torch.Tensor:
    """(N, C): a row per prediction, which is an image (B, C) or, in segmentation, a place of one (B, C, h, w)."""
    return logits if logits.ndim == 2 else logits.movedim(1, -1).flatten(0, -2)


def select(images: Images, rows: torch.Tensor) -> Images:
    """Some of the images, by their positions (K,) int64."""
    return [images[row] for row in rows.tolist()] if isinstance(images, list) else images[rows]


def backpropagate(
    classifier: Classifier,
    images: Images,
    loss: Callable[[torch.Tensor], torch.Tensor],
    *,
    micro_batch_size: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of any loss of a batch's logits, with at most ``micro_batch_size`` images in the graph at once.

    Args:
        classifier, images, micro_batch_size: see :class:`DeferredBackward`.
        loss: maps logits (B, C) to a scalar, already divided by what is global over processes. One that does not depend
            on them has no gradient; that must be so in all processes or in none.

    Returns:
        The logits (B, C) and the loss, both detached.
    """
    forward = DeferredBackward(classifier, images, micro_batch_size=micro_batch_size)
    value = loss(forward.logits)
    if value.requires_grad:
        value.backward()
    forward.backward()
    return forward.logits.detach(), value.detach()
