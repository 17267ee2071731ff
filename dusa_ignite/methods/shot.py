"""SHOT: information maximisation (Liang, Hu & Feng, ICML 2020, arXiv 2002.08546), as an update per batch.

The loss over a batch of B images with predictions p_i is

    1/B sum_i E_i + diversity * sum_c m_c log m_c,    E_i the entropy of p_i, m = 1/B sum_i p_i:

every prediction should be sure, and all of them together should use all classes: the paper's L_ent + L_div, which it
calls information maximisation (SHOT-IM), with the weight 1 that it gives L_div.

SHOT itself adapts to a whole data set, which it sees for several epochs: it trains the feature extractor with the last
layer frozen (SGD, momentum 0.9, batches of 64), and adds pseudo-labels from class centroids over the data set. Here
images arrive once, in batches, so there are no pseudo-labels; the last layer stays frozen too, but of the feature
extractor only the affine parameters of the norm layers learn, as in Tent, which is this method with diversity = 0.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step, Trains
from dusa_ignite.methods.diversity import DIVERSITY, diversity_terms
from dusa_ignite.methods.entropy import entropy
from dusa_ignite.models.views import Images


class Shot(Method):
    """One update per batch that makes predictions sure and their mean even."""

    class Options(Method.Options):
        """Information maximisation (arXiv 2002.08546)."""

        name: Literal["shot"] = "shot"
        diversity: float = Field(default=1.0, ge=0, description=f"{DIVERSITY}; 0 = tent (published: 1)")

    trains: ClassVar[Trains] = "norms"

    def adapt(self, images: Images, batch: Batch) -> Step:
        """All images count alike."""
        total = int(global_sum(len(batch["index"])))

        def objective(logits: torch.Tensor) -> torch.Tensor:
            terms, diversity = entropy(logits), diversity_terms(self.options.diversity, lambda: logits, total)
            if diversity:
                terms = terms + diversity(logits)
            return terms.sum() / max(total, 1)

        logits, share = self.backpropagate(images, objective)
        all_reduce_gradients(self.parameters)
        if not total:
            return Step(logits)
        loss = global_sum(share.item())
        return Step(logits, loss, stepped=self.step(loss))
