"""The endless training images in order, and each one's own draws: a function of the update alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch

from dusa_ignite.utils.seeding import derive_seed

Load = Callable[[list[int], list[torch.Generator]], dict[str, Any]]
"""What makes a batch of the images at these indices, each with a generator of its own."""


class TrainingStream:
    """Batches of one training, epoch after epoch; shares of several processes join to the batch of one.

    Sample p, counted from the first batch on, is image ``order(p // N)[p % N]`` of N, with draws keyed by (seed, p).
    So a batch depends on nothing but its number, and a training goes on exactly where it was.

    Args:
        load: makes a batch; it runs in a thread, one batch ahead.
        images: N, >= 1.
        batch_size: over all processes.
        iterations: batches.
        seed: of order and draws.
        rank, world_size: this process, and of how many.
    """

    def __init__(
        self,
        load: Load,
        *,
        images: int,
        batch_size: int,
        iterations: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.load = load
        self.images = images
        self.batch_size = batch_size
        self.iterations = iterations
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.position = 0
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def __len__(self) -> int:
        return self.iterations

    def seek(self, position: int) -> None:
        """Let the next iteration begin with batch ``position`` (0 = the first)."""
        self.position = position

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with ThreadPoolExecutor(1) as ahead:
            numbers = range(self.position, self.iterations)
            coming = ahead.submit(self.batch, self.position)
            for number in numbers:
                batch = coming.result()
                if number + 1 < self.iterations:
                    coming = ahead.submit(self.batch, number + 1)
                yield batch

    def batch(self, number: int) -> dict[str, Any]:
        """This process's share of a batch."""
        samples = range(number * self.batch_size, (number + 1) * self.batch_size)
        share = [samples[k] for k in range(len(samples)) if k * self.world_size // len(samples) == self.rank]
        loaded = self.load([self.image(p) for p in share], [self._generator(p) for p in share])
        return {**loaded, "task": "training", "first": number == 0, "last": number == self.iterations - 1}

    def image(self, sample: int) -> int:
        """The index of the image that is shown as this sample."""
        return self._order(sample // self.images)[sample % self.images]

    def _draw_order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        return torch.randperm(self.images, generator=generator).tolist()

    def _generator(self, sample: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.seed, "sample", sample))
