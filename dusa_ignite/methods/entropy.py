"""What the methods that minimise the entropy of predictions share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.methods.base import Method, Trains
from dusa_ignite.models.forward import rows_of
from dusa_ignite.models.views import Images

Weigh = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps logits (B, C) and their entropies (B,), both detached, to the images' weights (B,); 0 leaves an image out."""


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """(B,) -sum_c p_c log p_c in nats, with p = softmax(logits), of logits (B, C)."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


class EntropyMethod(Method):
    """A method whose loss is a weighted mean of entropies.

    In segmentation the places of the logits' own resolution take the part of images: each is weighed, or left out, by
    itself, and N counts them.
    """

    trains: ClassVar[Trains] = "norms"

    def backpropagate_entropy(self, images: Images, weigh: Weigh) -> tuple[torch.Tensor, torch.Tensor, float, int]:
        """The gradient of sum_i w_i E_i / N, over the N images of the global batch that are not left out.

        Without such an image there is no gradient at all: the optimizer's step is then to be left out too, or momentum
        and weight decay would move the parameters.

        Args:
            images: float RGB in [0, 1], B of them; B may be 0.
            weigh: see :data:`Weigh`; called once, by all processes. A weight that is NaN counts.

        Returns:
            The logits (B, C) or (B, C, h, w), and the weights (B,) or (B h w,), of this process's images; the loss over
            the global batch, NaN without an image; N.
        """
        weights, number = torch.empty(0), 0

        def objective(logits: torch.Tensor) -> torch.Tensor:
            nonlocal weights, number
            rows = rows_of(logits)
            entropies = entropy(rows)
            weights = weigh(rows.detach(), entropies.detach())
            chosen = weights != 0
            number = int(global_sum(chosen.sum().item()))
            return (weights * entropies)[chosen].sum() / number if number else logits.new_zeros(())

        logits, share = self.backpropagate(images, objective)
        all_reduce_gradients(self.parameters)
        return logits, weights, global_sum(share.item()) if number else math.nan, number
