"""EATA: efficient anti-forgetting test-time adaptation (Niu et al., ICML 2022, arXiv 2204.02610).

An image learns if it is reliable, E < E0 with E the entropy of its prediction p and E0 = 0.4 ln C, and not
redundant, |cos(p, m)| < d with m a moving average of the predictions that were learnt from. The loss is

    mean_i exp(E0 - E_i) E_i + beta sum_k F_k (theta_k - theta_k source)^2

with the weights exp(E0 - E) held constant and F the Fisher information on clean images. Without the last term
the method is called ETA. Published: SGD, learning rate 2.5e-4, momentum 0.9, batches of 64; affine parameters of the
norm layers; d = 0.05 for 1,000 classes, 0.4 for 10, where predictions are never that far apart; beta = 2000 on 2,000
images for ImageNet-C.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch.nn import functional as F

from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.entropy import EntropyMethod
from dusa_ignite.methods.fisher import Fisher, backpropagate_drift, clean_batches, fisher_information
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.models.forward import rows_of
from dusa_ignite.models.views import Images
from dusa_ignite.utils.section import PathText


class Eata(EntropyMethod):
    """One EATA update per batch; one without an image to learn from changes nothing, the moving average included.

    The state is that average, ``mean_prediction`` (C,), NaN before the first update. ``fisher`` is measured on clean
    images when the method is made; ``None`` = ETA. ``diagnostics`` have ``reliable``, the share of images learnt from.
    In segmentation pixels are reliable or redundant by themselves, and there is ETA alone.
    """

    problems = ("classification", "segmentation")

    class Options(Method.Options):
        """Entropy minimisation on reliable, non-redundant images, close to the source weights (arXiv 2204.02610)."""

        name: Literal["eata"] = "eata"
        fisher_root: PathText | None = Field(
            default=None, min_length=1, description="folder of clean images by class, for the Fisher information"
        )
        fisher_images: int = Field(default=2000, ge=1, description="of it, drawn at random, >= 1")
        beta: float = Field(
            default=2000.0, ge=0, description="weight of the Fisher term, >= 0; 0 = eta, which needs no fisher_root"
        )
        entropy_margin: float = Field(
            default=0.4, gt=0, description="images below this x ln(classes) are reliable, > 0"
        )
        redundancy_margin: float = Field(
            default=0.05,
            ge=0,
            description="cosine similarity below which an image is new, >= 0 (published: 10 classes 0.4)",
        )
        prediction_decay: float = Field(default=0.9, ge=0, le=1, description="of the mean prediction, in [0, 1]")

        @field_validator("beta")
        @classmethod
        def _has_images(cls, value: float, info: ValidationInfo) -> float:
            if value and info.data.get("fisher_root", "failed") is None:
                raise ValueError(
                    f"{value:g} needs method.fisher_root, a folder of clean images by class; or give method.beta=0, "
                    f"which is ETA"
                )
            return value

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """Fisher information and source values."""
        return Footprint(trained=2 if options.beta else 0)

    def __init__(self, options: Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        self.mean_prediction = torch.full(
            (self.classifier.num_classes,), math.nan, dtype=self.dtype, device=self.device
        )
        self.fisher: Fisher | None = None
        if self.options.beta and self.options.fisher_root is not None:
            clean = clean_batches(
                self.options.fisher_root,
                number=self.options.fisher_images,
                seed=self.seed,
                device=self.device,
                dtype=self.dtype,
            )
            self.fisher = fisher_information(self.classifier, clean, micro_batch_size=self.micro_batch_size)

    def adapt(self, images: Images, batch: Batch) -> Step:
        """Reliable images that are new count, the surer the more."""
        logits, weights, loss, number = self.backpropagate_entropy(images, self.weigh)
        stepped = None
        if number:
            if self.fisher is not None:
                loss += backpropagate_drift(self.classifier, self.fisher, beta=self.options.beta)
            stepped = self.step(loss)
        rows = rows_of(logits)
        predictions = rows[weights != 0].softmax(dim=1)  # those learnt from
        *sums, total = global_sums(torch.cat([predictions.sum(dim=0), logits.new_tensor([len(rows)])]))
        if stepped:
            mean = torch.tensor(sums, dtype=torch.float64).to(self.mean_prediction) / number
            first = self.mean_prediction.isnan().any()
            self.mean_prediction = mean if first else mean.lerp(self.mean_prediction, self.options.prediction_decay)
        return Step(logits, loss, stepped, {"reliable": number / max(total, 1)})

    def weigh(self, logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        """See :data:`dusa_ignite.methods.entropy.Weigh`."""
        # A comparison with NaN is false: before the first update nothing is redundant, and an image whose entropy is
        # not finite is not left out, so that the update is skipped and counted.
        margin = self.options.entropy_margin * math.log(self.classifier.num_classes)
        similarity = F.cosine_similarity(logits.softmax(dim=1), self.mean_prediction[None], dim=1)
        left_out = (entropies >= margin) | (similarity.abs() >= self.options.redundancy_margin)
        return (margin - entropies).exp().masked_fill(left_out, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """The mean prediction."""
        return {"mean_prediction": self.mean_prediction}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy it."""
        self.mean_prediction = state["mean_prediction"].to(self.mean_prediction, copy=True)
