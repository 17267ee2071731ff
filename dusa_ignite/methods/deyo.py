"""DeYO: destroy your object (Lee et al., ICLR 2024, arXiv 2403.07366).

An image learns if its prediction p is sure enough, E < tau_E = 0.5 ln C with E the entropy, and rests on the object's
shape: with p' the prediction for the image whose object is destroyed, and y the most likely class, the pseudo-label
probability difference PLPD = p_y - p'_y is above tau_PLPD. The loss is the mean over these images of

    (1 / exp(E - E0) + 1 / exp(-PLPD)) E

with E0 = 0.4 ln C and the weights held constant. Norm layers learn, but for those of the last layers, see
:func:`dusa_ignite.models.early_norms.early_norm_parameters`. Published: SGD, momentum 0.9, learning rate 2.5e-4 for
ResNet50, 1e-3 for ViT-B/16, batches of 64; tau_PLPD = 0.3 for ImageNet-C one corruption at a time, 0.2 for mixed
corruptions, correlated labels and batches of one image (the default here), 0.5 for Waterbirds and ColoredMNIST.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.destruction import destroy
from dusa_ignite.methods.entropy import EntropyMethod
from dusa_ignite.models.views import Images
from dusa_ignite.utils.seeding import sample_generators


class Deyo(EntropyMethod):
    """One DeYO update per batch.

    Objects are destroyed in the square that the classifier crops, in [0, 1]; patches and pixels are shuffled by draws
    of each image's own. A classifier whose BatchNorm uses the batch's statistics is shown all destroyed images, not
    only those with a small entropy, so that there is a batch. ``diagnostics`` have ``confident``, the share of images
    with a small entropy, and ``reliable``, of those learnt from.
    """

    class Options(Method.Options):
        """Entropy minimisation on images whose prediction rests on the object (arXiv 2403.07366)."""

        name: Literal["deyo"] = "deyo"
        entropy_threshold: float = Field(default=0.5, gt=0, description="images below this x ln(classes) learn, > 0")
        entropy_margin: float = Field(default=0.4, gt=0, description="E0 of their weights / ln(classes), > 0")
        plpd_threshold: float = Field(
            default=0.2,
            ge=-1,
            le=1,
            description="drop of the probability above which they learn, in [-1, 1] "
            "(published: one corruption at a time 0.3, mixed or correlated 0.2)",
        )
        destruction: Literal["patch", "pixel", "occlusion"] = Field(default="patch", description="of the object")
        patches_per_side: int = Field(default=4, ge=1, le=16384, description="for patch, >= 1")

    trains = "early_norms"

    def adapt(self, images: Images, batch: Batch) -> Step:
        """Sure images that rest on the object count."""
        options, log_classes = self.options, math.log(self.classifier.num_classes)
        unsure = torch.empty(0)

        def weigh(logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
            nonlocal unsure
            unsure = entropies >= options.entropy_threshold * log_classes  # NaN is not: it has to skip the update
            looked_at = torch.ones_like(unsure) if self.classifier.uses_batch_statistics else ~unsure
            others = self.predict_destroyed(images, batch, looked_at.nonzero().squeeze(1).tolist())
            plpd = probability_difference(logits[looked_at], others)
            weights = torch.zeros_like(entropies)
            weights[looked_at] = (options.entropy_margin * log_classes - entropies[looked_at]).exp() + plpd.exp()
            weights[looked_at] *= ~(plpd <= options.plpd_threshold)
            return weights.masked_fill(unsure, 0.0)

        logits, _, loss, number = self.backpropagate_entropy(images, weigh)
        stepped = self.step(loss) if number else None
        total = max(global_sum(len(logits)), 1)
        confident = global_sum((~unsure).sum().item()) / total
        return Step(logits, loss, stepped, {"confident": confident, "reliable": number / total})

    def predict_destroyed(self, images: Images, batch: Batch, chosen: list[int]) -> torch.Tensor:
        """Logits (K, C) of the K chosen images without their objects."""
        generators = sample_generators(self.seed, batch["task"], batch["index"][chosen])
        view = self.classifier.crop(images)[chosen]
        destroyed = destroy(
            view,
            generators,
            destruction=self.options.destruction,
            patches_per_side=self.options.patches_per_side,
        )
        return self.predict(destroyed)


def probability_difference(logits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(B,) p_y - p'_y, of the class y that is most likely in p, from the logits (B, C) of both."""
    label = logits.argmax(dim=1, keepdim=True)
    return (logits.softmax(dim=1) - others.softmax(dim=1)).gather(1, label).squeeze(1)
