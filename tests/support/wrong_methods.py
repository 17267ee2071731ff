"""Methods that break the contract of all methods, each in one way."""

from __future__ import annotations

from typing import Any

import torch

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.engine import Batch
from dusa_ignite.methods import Method, Step
from dusa_ignite.methods.entropy import EntropyMethod, entropy
from dusa_ignite.models.forward import slices
from dusa_ignite.models.views import Images


class Forgetful(EntropyMethod):
    """Counts its updates where no reset finds the number."""

    def __init__(self, options: Method.Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        self.updates = 0

    def adapt(self, images: Images, batch: Batch) -> Step:
        logits, _, loss, number = self.backpropagate_entropy(images, self.weigh)
        self.updates += number > 0
        return Step(logits, loss, self.step(loss) if number else None)

    def weigh(self, logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        return torch.full_like(entropies, 1 / (1 + self.updates))


class Resuming(Forgetful):
    """Remembers the number, but what it loads is another one."""

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = min(state["updates"], 1)


class Nearsighted(EntropyMethod):
    """Compares an image with those of its micro-batch."""

    def adapt(self, images: Images, batch: Batch) -> Step:
        logits, _, loss, number = self.backpropagate_entropy(images, self.weigh)
        return Step(logits, loss, self.step(loss) if number else None)

    def weigh(self, logits: torch.Tensor, entropies: torch.Tensor) -> torch.Tensor:
        parts = [entropies[part] for part in slices(len(entropies), self.micro_batch_size)]
        return torch.cat([entropies[:0], *(part.mean() / part for part in parts)])


class Lonely(EntropyMethod):
    """Learns from its own share of the batch alone."""

    def adapt(self, images: Images, batch: Batch) -> Step:
        number = len(batch["index"])
        logits, own = self.backpropagate(images, lambda logits: entropy(logits).sum() / max(number, 1))
        if global_sum(number) == 0:
            return Step(logits)
        return Step(logits, own.item(), self.step(own.item()))


class Restless(EntropyMethod):
    """Takes a step even without an image: weight decay and momentum move the parameters."""

    def adapt(self, images: Images, batch: Batch) -> Step:
        logits, _, loss, number = self.backpropagate_entropy(images, lambda logits, entropies: entropies * 0 + 1)
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        return Step(logits, loss, self.step(loss if number else 0.0))


class Careless(EntropyMethod):
    """Takes every step, whatever the gradient is."""

    def adapt(self, images: Images, batch: Batch) -> Step:
        logits, _, loss, number = self.backpropagate_entropy(images, lambda logits, entropies: entropies * 0 + 1)
        if number:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Step(logits, loss, True if number else None)


class Still(Method):
    """Trains norm layers, by its own account, but never learns."""

    trains = "norms"

    def adapt(self, images: Images, batch: Batch) -> Step:
        return Step(self.predict(images))
