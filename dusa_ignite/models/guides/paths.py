"""Noising paths: from a clean image x0 and noise z to the noised input and what the model should predict.

The only place that knows time conventions; which paths a family has, the families say. Outside it, time is t in [0, 1]
with t = 0 at the data and t = 1 at the noise. Every path is a function ``(x0, z, t) -> (x_t, target, model_time)``:

* x0, z: (B, C, H, W) clean image or latent, and standard normal noise;
* t: (B,) times in [0, 1];
* x_t, target: (B, C, H, W); model_time: (B,) the time to hand to the transformer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from pydantic import Field

from dusa_ignite.utils.section import Section

NoisingPath = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]

DDPM_STEPS = 1000


class PathOptions(Section):
    """How x0 and noise are mixed, and what the transformer predicts."""

    name: str = Field(description="linear, cosine, reverse_linear or ddpm; must fit transformer.family")


def linear(x0: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x_t = (1 - t) x0 + t z, velocity z - x0, model time t (REPA's SiT)."""
    s = _per_image(t, x0)
    return (1 - s) * x0 + s * z, z - x0, t


def cosine(x0: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x_t = cos(pi t / 2) x0 + sin(pi t / 2) z, its time derivative as velocity, model time t (REPA's SiT)."""
    angle = _per_image(t, x0) * (math.pi / 2)
    velocity = (math.pi / 2) * (angle.cos() * z - angle.sin() * x0)
    return angle.cos() * x0 + angle.sin() * z, velocity, t


def reverse_linear(
    x0: torch.Tensor, z: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The official SiT's linear path: its own time 1 - t runs from noise to data, velocity x0 - z."""
    s = _per_image(t, x0)
    return (1 - s) * x0 + s * z, x0 - z, 1 - t


def ddpm(x0: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x_t = sqrt(a) x0 + sqrt(1 - a) z at step round(1000 t), at most 999; the target is the noise (DiT)."""
    step = (t.double() * DDPM_STEPS).round().long().clamp(max=DDPM_STEPS - 1)
    kept = alphas_cumprod(t.device)[step].to(x0.dtype)
    kept = _per_image(kept, x0)
    return kept.sqrt() * x0 + (1 - kept).sqrt() * z, z, step


@lru_cache(maxsize=8)
def alphas_cumprod(device: torch.device) -> torch.Tensor:
    """(1000,) share of the signal's variance kept after each step; linear betas 1e-4 .. 0.02 (Ho et al. 2020).

    Computed on the CPU, so that it is the same everywhere, and brought to a device once.
    """
    betas = torch.linspace(1e-4, 0.02, DDPM_STEPS, dtype=torch.float64)
    return torch.cumprod(1 - betas, dim=0).to(device)


def _per_image(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(B,) -> (B, 1, 1, 1) in x's dtype."""
    return t.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def scheduled(alphas_cumprod: torch.Tensor) -> NoisingPath:
    """The DDPM path of another schedule: at step round(S t), at most S - 1; the target is the noise.

    Args:
        alphas_cumprod: (S,) share of the signal's variance kept after each step, as diffusers' schedulers have it.
    """
    steps = len(alphas_cumprod)
    on = lru_cache(maxsize=8)(alphas_cumprod.to)  # brought to a device once

    def path(x0: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        step = (t.double() * steps).round().long().clamp(max=steps - 1)
        kept = _per_image(on(t.device)[step], x0)
        return kept.sqrt() * x0 + (1 - kept).sqrt() * z, z, step

    return path
