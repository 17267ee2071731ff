"""Diffusion-TTA: the classifier's probabilities mix the class embeddings (Prabhudesai et al., NeurIPS 2023, arXiv
2311.16102).

The guide is not asked about classes one by one, but once per noise sample, about the expected class

    c = sum_k p_k e_k,    p = softmax(logits),    e_k the embedding of class k (kept fixed),

and both models learn from its denoising loss E_{t, noise} ||v(x_t, t, c) - target||^2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.guided import GuidedMethod, noised
from dusa_ignite.methods.losses import squared_errors
from dusa_ignite.models.views import Images
from dusa_ignite.utils.section import Problem


class DiffusionTta(GuidedMethod):
    """One Diffusion-TTA update per batch.

    As published, every image adapts a fresh copy of both models for 5 steps of 180 samples of noise and time each (DiT;
    t uniform in [0, 1]; all classes mixed; SGD, learning rate 5e-3, momentum 0.9), and is then predicted. Here a batch
    adapts the models once, like in every other method. The default of 6 samples per image, all in the graph at once,
    asks as much of the transformer as DUSA's six candidates do. ``diagnostics`` have ``denoising_loss``.
    """

    class Options(GuidedMethod.Options):
        """The classifier's probabilities mix the guide's class embeddings (arXiv 2311.16102)."""

        name: Literal["diffusion_tta"] = "diffusion_tta"
        num_samples: int = Field(
            default=6,
            ge=1,
            le=100_000,
            description="draws of noise and time per image, >= 1 (published: 5 updates of 180)",
        )
        top_k: int | None = Field(default=None, ge=1, description="mix only the most likely classes, >= 1; null = all")
        predict_after: bool = Field(
            default=False, description="predict after the update (published), not before it as the other methods do"
        )

        def problems(self, *, num_classes: int) -> Iterator[Problem]:
            """More classes to mix than there are."""
            if (self.top_k or 0) > num_classes:
                yield Problem(("method.top_k",), f"{self.top_k} is not allowed; allowed: <= {num_classes} classes")

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """The guide predicts every sample, and the classifier learns through it."""
        return Footprint(guide_passes=options.num_samples, through_guide=True)

    def __init__(self, options: Options | None = None, *, predict_after: bool = False, **parts: Any) -> None:
        options = options or self.Options()
        super().__init__(options, predict_after=predict_after or options.predict_after, **parts)

    @property
    def num_columns(self) -> int:
        """The loss alone."""
        return 1

    @property
    def num_samples(self) -> int:
        """As the option says."""
        return self.options.num_samples

    def objective(self, images: Images, logits: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a micro-batch, and each image's loss (b, 1)."""
        embedding = expected_embedding(logits, self.guide.class_embeddings(), top_k=self.options.top_k)  # (b, D)
        x_t, target, model_time = noised(self.guide, images, draws)
        prediction = self.guide.predict_embedded(x_t, model_time, embedding.repeat(self.num_samples, 1))
        losses = squared_errors(prediction, target).unflatten(0, (self.num_samples, -1)).mean(dim=0)
        return losses.mean(), losses.detach()[:, None]

    def diagnose(self, numbers: torch.Tensor, total: int) -> dict[str, float]:
        """The mean loss."""
        return {"denoising_loss": global_sums(numbers.sum(dim=0))[0] / total}


def expected_embedding(logits: torch.Tensor, embeddings: torch.Tensor, *, top_k: int | None) -> torch.Tensor:
    """The class embeddings' mean under the classifier's probabilities.

    Args:
        logits: (B, C); the gradient reaches them.
        embeddings: (C, D), taken as constants.
        top_k: take only so many most likely classes, their probabilities renormalised, 1 .. C; ``None`` = all.

    Returns:
        (B, D).

    Raises:
        ValueError: ``top_k`` is not in 1 .. C.
    """
    if top_k is not None and not 1 <= top_k <= logits.shape[1]:
        raise ValueError(f"top_k must be in 1 .. {logits.shape[1]}, not {top_k}")
    embeddings = embeddings.detach().to(logits.dtype)
    if top_k is None:
        return logits.softmax(dim=1) @ embeddings
    top = logits.topk(top_k, dim=1)
    return torch.einsum("bk,bkd->bd", top.values.softmax(dim=1), embeddings[top.indices])
