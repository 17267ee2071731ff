"""The gradient of an image's windows, with few of the guide's predictions in the graph at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from dusa_ignite.models.forward import slices
from dusa_ignite.models.guides import Guide
from dusa_ignite.segmentation.classes import Kept
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

    Returns:
        The mean of the windows' losses, detached.
    """
    counts = [len(window.kept.classes) for window in windows]
    owners = [number for number, count in enumerate(counts) for _ in range(count)]
    x_t = torch.cat([window.x_t for window in windows])
    times = torch.cat([window.model_time for window in windows])
    classes = torch.cat([window.kept.classes for window in windows])

    def predict(part: slice) -> torch.Tensor:
        own = owners[part]
        return guide.predict(x_t[own], times[own], classes[part, None]).squeeze(1)

    parts = list(slices(len(classes), micro_batch_size))
    with torch.no_grad():
        rest = [predict(part) for part in parts[:-1]]
    last = predict(parts[-1])
    predictions = torch.cat([*rest, last.detach()]).requires_grad_(last.requires_grad)

    losses = [
        window_loss(window.weights, own, window.target, window.kept.mask)
        for window, own in zip(windows, predictions.split(counts), strict=True)
    ]
    loss = torch.stack(losses).mean()  # losses are averaged over windows
    if loss.requires_grad:  # neither segmenter nor guide may learn
        scaler.scale(loss * share).backward()  # every window's backward pass is scaled
    if last.requires_grad:
        gradient = predictions.grad
        assert gradient is not None  # the loss depends on every prediction
        last.backward(gradient[parts[-1]])
        del last
        for part in parts[:-1]:
            predict(part).backward(gradient[part])
    return loss.detach()
