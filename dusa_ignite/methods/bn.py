"""BN: BatchNorm with statistics of the test batch (Schneider et al., NeurIPS 2020, arXiv 2006.16971; with those alone,
Nado et al., 2020, arXiv 2006.10963).

For every channel, with source statistics s and batch statistics t:

    mean = (1 - alpha) mean_s + alpha mean_t        var = (1 - alpha) var_s + alpha var_t

So ``alpha`` is the batch's weight: 1 = the batch alone, 0 = the source alone. The paper writes it as n / (N + n), with
n images in the batch and a source that counts as N. Nothing learns. A classifier without BatchNorm predicts what the
source does.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.mixed_statistics import MixedStatistics, batch_norm_layers
from dusa_ignite.models.views import Images


class Bn(Method):
    """Predicts with mixed statistics, those of the global batch, and learns nothing; its loss is NaN.

    The stored statistics stay as they are. A batch goes through BatchNorm in one piece, whatever the micro-batch size;
    in segmentation each image has its own statistics.
    """

    class Options(Method.Options):
        """BatchNorm with statistics of the test batch (arXiv 2006.16971); nothing learns."""

        name: Literal["bn"] = "bn"
        alpha: float = Field(
            default=1.0, ge=0, le=1, description="weight of the batch's statistics against the source's, in [0, 1]"
        )

    problems = ("classification", "segmentation")
    trains = "nothing"
    source_statistics = True  # it takes the batch's by itself

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """Nothing is kept."""
        return Footprint(whole_batch=True)

    @torch.no_grad()
    def adapt(self, images: Images, batch: Batch) -> Step:
        """The predictions alone."""
        if not batch_norm_layers(self.classifier):
            return Step(self.predict(images))
        together = self.classifier.normalises_together
        with MixedStatistics(self.classifier, alpha=self.options.alpha, over_processes=together):
            return Step(self.classifier(images))  # even without an image: the other processes need it for their sums
