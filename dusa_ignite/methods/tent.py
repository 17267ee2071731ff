"""Tent: entropy minimisation (Wang et al., ICLR 2021, arXiv 2006.10726).

The loss is the mean entropy H = -sum_c p_c log p_c of the predictions for a batch; the affine parameters of the norm
layers learn from it. Published for ImageNet-C: SGD, learning rate 2.5e-4, momentum 0.9, batches of 64; BatchNorm
with the batch's statistics.
"""

from __future__ import annotations

from typing import Literal

import torch

from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.entropy import EntropyMethod
from dusa_ignite.models.views import Images


class Tent(EntropyMethod):
    """One Tent update per batch."""

    class Options(Method.Options):
        """Entropy minimisation (arXiv 2006.10726)."""

        name: Literal["tent"] = "tent"

    problems = ("classification", "segmentation")

    def adapt(self, images: Images, batch: Batch) -> Step:
        """All images count alike."""
        logits, _, loss, number = self.backpropagate_entropy(
            images, lambda logits, entropies: torch.ones_like(entropies)
        )
        return Step(logits, loss, stepped=self.step(loss) if number else None)
