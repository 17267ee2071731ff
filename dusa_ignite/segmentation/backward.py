"""The gradient of an image's windows, with few of the guide's predictions in the graph at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from dusa_ignite.models.forward import slices
from dusa_ignite.models.guides import Guide
from dusa_ignite.segmentation.classes import Kept
from dusa_ignite.segmentation.sampled import sample_pairs
from dusa_ignite.segmentation.window_loss import window_loss


class NoisedWindow(NamedTuple):
    """What the guide is asked about in one window.

    Attributes:
        x_t: (1, C, h, w) noised latents.
        target: (1, C, h, w), the noise.
        model_time: (1,), as the path returns it.
        kept: the K classes.
        weights: (1, K, h, w), with their graph down to the logits.
    """

    x_t: torch.Tensor
    target: torch.Tensor
    model_time: torch.Tensor
    kept: Kept
    weights: torch.Tensor


def backpropagate_windows(
    guide: Guide,
    windows: Sequence[NoisedWindow],
    *,
    share: float,
    scaler: torch.amp.GradScaler,
    micro_batch_size: int,
    sampled: torch.Tensor | None = None,
) -> torch.Tensor:
    """Add to the gradients of guide and logits those of ``share`` times the mean of the windows' losses.

    All windows' pairs of window and class stand in one row, which is walked in pieces. With one piece there is one
    pass. With more, all but the last are first predicted without a graph; the loss of all windows then has one backward
    pass down to the logits and to the predictions, and each piece is predicted once more, with its graph, to carry the
    gradient of its own predictions to the guide. So the pieces have no effect on the result, and memory holds the graph
    of one. (The authors' code scales the loss of the last window alone before its backward pass; here the scaler is on
    the whole.)

    Args:
        guide: predicts; what of it requires gradients learns.
        windows: W >= 1 of one image, of the same size; the numbers of their classes may differ.
        share: of the image in the mean over the global batch.
        scaler: of the loss, for guides in float16.
        micro_batch_size: pairs of window and class in the graph at once, >= 1.
        sampled: (W,) uniform numbers in [0, 1): of every window one drawn class alone carries the guide's gradient, see
            :mod:`dusa_ignite.segmentation.sampled`; ``None`` = all do, as published.

    Returns:
        The mean of the windows' losses, detached.
    """
    pairs = _Pairs(guide, windows)
    parts = list(slices(len(pairs), micro_batch_size))
    learns = any(parameter.requires_grad for parameter in guide.transformer.parameters())
    whole = learns and sampled is None
    with torch.no_grad():
        rest = [pairs.predict(part) for part in (parts[:-1] if whole else parts)]
    last = [pairs.predict(parts[-1])] if whole else []
    predictions = torch.cat([*rest, *(own.detach() for own in last)]).requires_grad_(learns)

    losses = [
        window_loss(window.weights, own, window.target, window.kept.mask)
        for window, own in zip(windows, predictions.split(pairs.counts), strict=True)
    ]
    loss = torch.stack(losses).mean()  # losses are averaged over windows
    if loss.requires_grad:  # neither segmenter nor guide may learn
        scaler.scale(loss * share).backward()  # every window's backward pass is scaled
    gradient = predictions.grad
    if gradient is None:
        return loss.detach()
    if sampled is not None:
        positions, carried = sample_pairs(gradient, pairs.counts, sampled)
        for part in slices(len(positions), micro_batch_size):
            pairs.predict(positions[part]).backward(carried[part])
        return loss.detach()
    last.pop().backward(gradient[parts[-1]])
    for part in parts[:-1]:
        pairs.predict(part).backward(gradient[part])
    return loss.detach()


class _Pairs:
    """All windows' pairs of window and class, in one row."""

    def __init__(self, guide: Guide, windows: Sequence[NoisedWindow]) -> None:
        self.guide = guide
        self.counts = [len(window.kept.classes) for window in windows]
        self.classes = torch.cat([window.kept.classes for window in windows])
        self.x_t = torch.cat([window.x_t for window in windows])
        self.times = torch.cat([window.model_time for window in windows])
        numbers = [number for number, count in enumerate(self.counts) for _ in range(count)]
        self.owners = torch.tensor(numbers, device=self.x_t.device)

    def __len__(self) -> int:
        return len(self.classes)

    def predict(self, which: slice | torch.Tensor) -> torch.Tensor:
        """(n, C, h, w): the predictions of some of the pairs."""
        own = self.owners[which]
        return self.guide.predict(self.x_t[own], self.times[own], self.classes[which][:, None]).squeeze(1)
