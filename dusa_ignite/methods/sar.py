"""SAR: sharpness-aware and reliable entropy minimisation (Niu et al., ICLR 2023, arXiv 2302.12400).

With E the entropy of an image's prediction, and E0 = 0.4 ln C:

1. g = gradient of the mean E over the reliable images, E < E0; eps = rho g / ||g||_2, the norm over all parameters
   together (eq. 4).
2. The step follows the gradient, at theta + eps, of the mean E over those of them that are reliable there too.
3. A moving average of that loss (0.9 old, 0.1 new) below 0.2 means that the model collapses: the parameters return to
   their source values, the optimizer and the average to nothing.

Norm layers learn, but for those of the last layers, see
:func:`dusa_ignite.models.early_norms.early_norm_parameters`. Published: SGD, momentum 0.9, learning rate 2.5e-4 for
ResNet50, 1e-3 for ViT-B/16; batches of 64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.entropy import EntropyMethod
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.teacher import source_values
from dusa_ignite.models.views import Images


class Sar(EntropyMethod):
    """One SAR update per batch.

    Its loss is that at the perturbed weights; NaN where no image is reliable there, and then nothing is learnt. The
    state is the moving average of that loss, NaN before the first; the source values to recover never change.
    ``diagnostics`` have ``reliable``, the share of images learnt from, and ``recovered``, whether the source values
    came back. In segmentation pixels take the part of images, and all norm layers learn, as it is not known which of a
    segmenter's are its last.
    """

    class Options(Method.Options):
        """Sharpness-aware, reliable entropy minimisation with recovery (arXiv 2302.12400)."""

        name: Literal["sar"] = "sar"
        entropy_margin: float = Field(
            default=0.4, gt=0, description="images below this x ln(classes) are reliable, > 0"
        )
        rho: float = Field(default=0.05, ge=0, description="length of the weights' perturbation, >= 0")
        loss_decay: float = Field(default=0.9, ge=0, le=1, description="of the loss's moving average, in [0, 1]")
        recovery_threshold: float = Field(
            default=0.2, ge=0, description="moving average, in nats, below which the source comes back, >= 0; 0 = never"
        )

    problems = ("classification", "segmentation")
    trains = "early_norms"

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """The source values, and what the parameters were before they are perturbed."""
        return Footprint(trained=2)

    def __init__(self, options: Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        self.loss_average = math.nan
        self.source = source_values(self.classifier)

    def adapt(self, images: Images, batch: Batch) -> Step:
        """Two passes, the second at the perturbed weights, and perhaps recovery."""
        logits, first, loss, number = self.backpropagate_entropy(images, self.reliable)
        stepped, recovered = None, False
        norm = gradient_norm(self.parameters)
        if number and math.isfinite(loss + norm):
            with perturbed(self.parameters, scale=self.options.rho / (norm + 1e-12)):
                _, _, loss, number = self.backpropagate_entropy(
                    images, lambda logits, entropies: first * self.reliable(logits, entropies)
                )
            stepped = self.step(loss) if number else None
        elif number:
            stepped = False
            self.optimizer.zero_grad(set_to_none=True)
        if stepped:
            average, decay = self.loss_average, self.options.loss_decay
            self.loss_average = loss if math.isnan(average) else decay * average + (1 - decay) * loss
            recovered = self.loss_average < self.options.recovery_threshold
        if recovered:
            self.recover()
        reliable = number / max(global_sum(len(first)), 1)
        return Step(logits, loss, stepped, {"reliable": reliable, "recovered": float(recovered)})

    def reliable(self, logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        """1 or 0 for each image."""
        margin = self.options.entropy_margin * math.log(self.classifier.num_classes)
        return (~(entropies >= margin)).to(entropies)  # NaN is: it has to skip the update

    @torch.no_grad()
    def recover(self) -> None:
        """Parameters return to their source values; the optimizer's moments and the loss's average start anew."""
        for name, parameter in self.classifier.named_parameters():
            if name in self.source:
                parameter.copy_(self.source[name])
        self.optimizer.state.clear()
        self.loss_average = math.nan

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"loss_average": self.loss_average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.loss_average = state["loss_average"]


def gradient_norm(parameters: Sequence[nn.Parameter]) -> float:
    """The length of the gradient of all parameters together; those without one count as zero."""
    norms = [torch.linalg.vector_norm(p.grad, dtype=torch.float64) for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(norms)).item() if norms else 0.0


@contextmanager
def perturbed(parameters: Sequence[nn.Parameter], *, scale: float) -> Iterator[None]:
    """Within this context the parameters are moved along their gradient, which is dropped; afterwards they are exactly
    what they were.

    Args:
        parameters: those without a gradient stay.
        scale: by how many times the gradient, any finite number; in the paper rho / ||g||_2.
    """
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    kept = [parameter.detach().clone() for parameter in moved]
    with torch.no_grad():
        for parameter in moved:
            assert parameter.grad is not None
            parameter.add_(parameter.grad, alpha=scale)
            parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(moved, kept, strict=True):
                parameter.copy_(value)
