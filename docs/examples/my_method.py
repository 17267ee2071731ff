"""A method of your own: Tent on the images that are surer than usual.

Chosen in a config file, with options, or on the command line, each of them a ``key=value``:

    method: {name: docs/examples/my_method.py:MyMethod, factor: 0.8}
    method.name=docs/examples/my_method.py:MyMethod method.factor=0.8 classifier.trainable=norm
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field

from dusa_ignite import Method, Step
from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.engine import Batch
from dusa_ignite.methods.entropy import EntropyMethod, entropy
from dusa_ignite.models.views import Images


class MyMethod(EntropyMethod):
    """An image learns if its entropy is below ``factor`` x the average over the batches so far."""

    class Options(Method.Options):
        """Entropy minimisation on the images that are surer than usual."""

        # The name counts once the method is part of the package; until then its reference stands in the config.
        name: Literal["my_method"] = "my_method"
        factor: float = Field(default=1.0, gt=0, description="images below this x the average entropy learn, > 0")
        decay: float = Field(default=0.9, ge=0, lt=1, description="of that average over batches, in [0, 1)")

    # The method's needs: what differs from the defaults of Method. EntropyMethod states this one already.
    trains = "norms"

    def __init__(self, options: Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        self.average = math.nan  # there is none before the first batch

    def adapt(self, images: Images, batch: Batch) -> Step:
        """One update on this process's share of a batch, which may be empty."""
        logits, _, loss, number = self.backpropagate_entropy(images, self.weigh)
        stepped = self.step(loss) if number else None  # no image to learn from, no step

        # Whatever is remembered is over the global batch, so that several processes do what one would do.
        total, count = global_sums(torch.stack([entropy(logits).sum(), logits.new_tensor(len(logits))]))
        if count and math.isfinite(total):
            mean, decay = total / count, self.options.decay
            self.average = mean if math.isnan(self.average) else decay * self.average + (1 - decay) * mean
        return Step(logits, loss, stepped, diagnostics={"confident": number / max(count, 1)})

    def weigh(self, logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        """A weight (B,) for each image; 0 leaves it out."""
        left_out = entropies >= self.options.factor * self.average  # false as long as the average is NaN
        return torch.ones_like(entropies).masked_fill(left_out, 0.0)

    # Resets and checkpoints know of nothing else: whatever adapt changes in the method itself goes through these two.

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.average = state["average"]
