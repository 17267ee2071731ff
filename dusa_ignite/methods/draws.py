"""What the guided methods draw for a batch: times, noise, and numbers for the choice of candidates.

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
    uniform: torch.Tensor  # (B, U) float64, in [0, 1)
    guide_weight: torch.Tensor  # (B,) on the CPU, >= 0: how much the guide's gradient of each image counts

    def __getitem__(self, part: slice) -> Draws:
        return Draws(self.times[part], self.noise[part], self.gumbel[part], self.uniform[part], self.guide_weight[part])


def draw_batch(
    generators: Sequence[torch.Generator],
    *,
    time: TimeSampler,
    shape: tuple[int, int, int],
    num_samples: int,
    num_gumbel: int,
    device: torch.device,
    num_uniform: int = 0,
) -> Draws:
    """Every image's draws, in this order: time and noise of its first sample, of its second, ..., its Gumbel numbers,
    its uniform numbers. The guide's gradients of all images count 1.

    Args:
        generators: one CPU generator per image, B of them.
        time: draws a noise level, see :mod:`dusa_ignite.models.guides.times`.
        shape: (C, H, W) of the noise.
        num_samples: S, >= 1.
        num_gumbel: K, >= 0.
        device: where they are needed.
        num_uniform: U, >= 0.
    """
    count, pinned = len(generators), device.type == "cuda"
    times = torch.empty(count, num_samples, dtype=torch.float64, pin_memory=pinned)
    noise = torch.empty(count, num_samples, *shape, pin_memory=pinned)
    gumbel = torch.empty(count, num_gumbel, dtype=torch.float64, pin_memory=pinned)
    uniform = torch.empty(count, num_uniform, dtype=torch.float64, pin_memory=pinned)
    for image, generator in enumerate(generators):
        for sample in range(num_samples):
            times[image, sample] = time(generator)
            noise[image, sample].normal_(generator=generator)
        gumbel[image].exponential_(generator=generator)
        uniform[image].uniform_(generator=generator)
    gumbel.log_().neg_()
    times, noise, gumbel, uniform = (drawn.to(device, non_blocking=True) for drawn in (times, noise, gumbel, uniform))
    return Draws(times, noise, gumbel, uniform, guide_weight=torch.ones(count))
