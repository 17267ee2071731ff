"""What is drawn for the windows of one image: times, noise, and numbers for the choice of classes."""

from __future__ import annotations

from typing import NamedTuple

import torch

from dusa_ignite.models.guides.times import TimeSampler


class WindowDraws(NamedTuple):
    """The draws of an image's W windows.

    Attributes:
        times: (W,) float64, 0 (data) .. 1 (noise).
        noise: (W, C, h, w) float32, standard normal.
        scores: (W, K) float64, uniform in [0, 1), one per class.
        uniform: (W,) float64, in [0, 1).
    """

    times: torch.Tensor
    noise: torch.Tensor
    scores: torch.Tensor
    uniform: torch.Tensor


def draw_windows(
    generator: torch.Generator,
    *,
    time: TimeSampler,
    num_windows: int,
    shape: tuple[int, int, int],
    num_classes: int,
    device: torch.device,
) -> WindowDraws:
    """In this order: time, noise, scores and a uniform number of the first window, of the second, ...

    Every image draws from a generator of its own, on the CPU, so that results depend neither on the number of processes
    nor on the device nor on the micro-batch size.

    Args:
        generator: the image's, on the CPU.
        time: draws a noise level, see :mod:`dusa_ignite.models.guides.times`.
        num_windows: W, >= 1.
        shape: (C, h, w) of a window's latents.
        num_classes: K.
        device: where they are needed.
    """
    times = torch.empty(num_windows, dtype=torch.float64)
    noise = torch.empty(num_windows, *shape)
    scores = torch.empty(num_windows, num_classes, dtype=torch.float64)
    uniform = torch.empty(num_windows, dtype=torch.float64)
    for window in range(num_windows):
        times[window] = time(generator)
        noise[window].normal_(generator=generator)
        scores[window].uniform_(generator=generator)
        uniform[window].uniform_(generator=generator)
    return WindowDraws(times.to(device), noise.to(device), scores.to(device), uniform.to(device))
