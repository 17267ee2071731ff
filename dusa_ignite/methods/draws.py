"""What the guided methods draw for a batch: times, noise and, for the choice of candidates, Gumbel numbers.

Every image draws from its own generator, always in the same order, so its draws depend on nothing else. They are made
on the CPU for the whole batch at once and go to the device together: a copy in every micro-batch would make a GPU wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dusa_ignite.models.guides.times import TimeSampler


@dataclass(frozen=True)
class Draws:
    """The draws of B images; ``draws[part]`` are those of some of them."""

    times: torch.Tensor  # (B, S) float64, 0 (data) .. 1 (noise): a noise level for each of S samples
    noise: torch.Tensor  # (B, S, C, H, W) float32, standard normal
    gumbel: torch.Tensor  # (B, K) float64, standard Gumbel

    def __getitem__(self, part: slice) -> Draws:
        return Draws(self.times[part], self.noise[part], self.gumbel[part])


def draw_batch(
    generators: Sequence[torch.Generator],
    *,
    time: TimeSampler,
    shape: tuple[int, int, int],
    num_samples: int,
    num_gumbel: int,
    device: torch.device,
) -> Draws:
    """Every image's draws, in this order: time and noise of its first sample, of its second, ..., its Gumbel numbers.

    Args:
        generators: one CPU generator per image, B of them.
        time: draws a noise level, see :mod:`dusa_ignite.models.guides.times`.
        shape: (C, H, W) of the noise.
        num_samples: S, >= 1.
        num_gumbel: K, >= 0.
        device: where they are needed.
    """
    count, pinned = len(generators), device.type == "cuda"
    times = torch.empty(count, num_samples, dtype=torch.float64, pin_memory=pinned)
    noise = torch.empty(count, num_samples, *shape, pin_memory=pinned)
    gumbel = torch.empty(count, num_gumbel, dtype=torch.float64, pin_memory=pinned)
    for image, generator in enumerate(generators):
        for sample in range(num_samples):
            times[image, sample] = time(generator)
            noise[image, sample].normal_(generator=generator)
        gumbel[image].exponential_(generator=generator)
    gumbel.log_().neg_()
    return Draws(*(drawn.to(device, non_blocking=True) for drawn in (times, noise, gumbel)))
