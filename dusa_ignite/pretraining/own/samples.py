"""Images that a guide draws, class by class, always from the same noise: grids of two moments compare."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F

from dusa_ignite.models.guides import Guide
from dusa_ignite.models.guides.paths import alphas_cumprod, ddpm, reverse_linear
from dusa_ignite.pretraining.own.curve import noise_of

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

CELL, MARGIN, LINE = 64, 4, 14  # pixels: smallest side of an image, space around it, height of a class name


@torch.no_grad()
def draw_samples(guide: Guide, label: int, *, count: int, steps: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Samples (count, C, H, W) of one class, from noise at t = 1 to data at t = 0 in equal steps.

    Euler's method on the path's ordinary differential equation, without guidance; for a guide that predicts noise,
    DDIM's steps (Song et al. 2021, eta = 0), which are the same thing.

    Args:
        guide: on its device.
        label: the class.
        count: samples; number k begins with the same noise, whatever the class.
        steps: >= 1.
        seed: of the noise.
        dtype: of the guide's parameters.
    """
    device = next(guide.transformer.parameters()).device
    x = noise_of(range(count), guide.latent_shape, seed=seed).to(device, dtype)
    classes = torch.full((count, 1), label, device=device)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist()
    for t, following in itertools.pairwise(times):
        model_time = guide.path(x, x, x.new_full((count,), t))[2]
        predicted = guide.predict(x, model_time, classes)[:, 0]
        x = _step(guide, x, predicted, t, following)
    return x


def _step(guide: Guide, x: torch.Tensor, predicted: torch.Tensor, t: float, following: float) -> torch.Tensor:
    """From t to the following, smaller time, along what was predicted."""
    if guide.path is ddpm:
        kept = alphas_cumprod(x.device)
        now = kept[min(round(1000 * t), 999)].to(x.dtype)
        then = kept[round(1000 * following)].to(x.dtype) if following > 0 else torch.ones_like(now)
        x0 = (x - (1 - now).sqrt() * predicted) / now.sqrt()
        return then.sqrt() * x0 + (1 - then).sqrt() * predicted
    velocity = -predicted if guide.path is reverse_linear else predicted
    return x + (following - t) * velocity


@torch.no_grad()
def to_images(x0: torch.Tensor, *, vae: AutoencoderKL | None, scaling_factor: float) -> torch.Tensor:
    """(B, 3, H, W) in [0, 1] of latents, by a VAE with its decoder, or of pixels in [-1, 1]."""
    if vae is not None:
        x0 = torch.cat([vae.decode(latent[None].to(vae.dtype) / scaling_factor).sample for latent in x0])
    return ((x0.float() + 1) / 2).clamp(0, 1).cpu()


def write_grid(path: Path, rows: Sequence[tuple[str, torch.Tensor]]) -> None:
    """A PNG with a row of images per class, its name above; small images are enlarged without smoothing.

    Args:
        path: of the file.
        rows: per class its name and images (n, 3, H, W) in [0, 1], of the same n, H and W.
    """
    count, _, _, side = rows[0][1].shape
    factor = max(1, -(-CELL // side))
    cell = side * factor + MARGIN
    picture = Image.new("RGB", (count * cell + MARGIN, len(rows) * (cell + LINE) + MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    for row, (name, images) in enumerate(rows):
        top = row * (cell + LINE) + MARGIN
        draw.text((MARGIN, top), name.encode("ascii", "replace").decode(), fill="black")
        pixels = (F.interpolate(images, scale_factor=factor) * 255).round().to(torch.uint8)
        for column, image in enumerate(pixels):
            picture.paste(Image.fromarray(image.permute(1, 2, 0).numpy()), (MARGIN + column * cell, top + LINE))
    picture.save(path)
