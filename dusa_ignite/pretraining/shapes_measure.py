"""What a guide for canvases is worth: how often, place by place, the right class has the smaller error."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from dusa_ignite.data.segmentation.drawing import CLASSES, GROUND
from dusa_ignite.models.guides.paths import NoisingPath
from dusa_ignite.pretraining.loop import Labelled
from dusa_ignite.pretraining.shapes_data import Drawn, window_batches

TIMES = (0.1, 0.3, 0.5)  # 0 = data, 1 = noise
WINDOWS = 256
SMOOTHING = 5  # pixels, odd: errors are averaged over squares of this side before they are compared


def noise_errors(
    model: nn.Module,
    images: torch.Tensor,
    classes: torch.Tensor,
    times: torch.Tensor,
    *,
    path: NoisingPath,
    generator: torch.Generator,
) -> torch.Tensor:
    """(B, 1, h, w) squared errors of the predicted noise at every place, mean over the channels.

    Args:
        model: predicts noise (B, 3, h, w) from noised windows, steps and classes.
        images: (B, 3, h, w) floats in [0, 1].
        classes: (B,) int64.
        times: (B,) in [0, 1].
        path: noises the windows.
        generator: of the noise.
    """
    noise = torch.randn(images.shape, generator=generator)
    x_t, target, step = path(images * 2 - 1, noise, times)
    return (model(x_t, step, classes) - target).square().mean(dim=1, keepdim=True)


@torch.no_grad()
def measure_guide(model: nn.Module, drawn: Drawn, *, window: int, path: NoisingPath) -> dict[str, float]:
    """Shares of places in [0, 1], in windows with a digit; 0.5 is chance. The noise is the same for both classes.

    For each of :data:`TIMES`:

    * ``digit_t``: at the ink of a digit, it has a smaller error than a digit that is not in the window;
    * ``ink_t``: at the ink of a digit, it has a smaller error than the ground;
    * ``ground_t``: on the ground, the ground has a smaller error than a digit that is not in the window.
    """
    model.eval()
    images, maps, present, absent = windows_with_digits(drawn, window=window)
    ground = torch.full_like(present, GROUND)
    ink, bare = maps == present[:, None, None], maps == GROUND
    metrics = {}
    for t in TIMES:
        own, other, none = (_smoothed(model, images, classes, t, path) for classes in (present, absent, ground))
        metrics[f"digit_{t}"] = float((own < other)[ink].double().mean())
        metrics[f"ink_{t}"] = float((own < none)[ink].double().mean())
        metrics[f"ground_{t}"] = float((none < other)[bare].double().mean())
    return metrics


def windows_with_digits(drawn: Drawn, *, window: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Windows with a digit, always the same, at most :data:`WINDOWS`.

    Returns:
        Images (N, 3, window, window) in [0, 1], maps (N, window, window), and for each a digit that is in it and one
        that is not, as labels (N,).
    """
    generator = torch.Generator().manual_seed(0)
    images, maps = next(window_batches(drawn, size=window, batch_size=WINDOWS, generator=generator))
    there = torch.stack([(maps == label).flatten(1).any(dim=1) for label in range(len(CLASSES))], dim=1)
    there[:, GROUND] = False
    some = there.any(dim=1)
    there, missing = there[some], ~there[some]
    missing[:, GROUND] = False
    present = torch.multinomial(there.double(), 1, generator=generator).squeeze(1)
    absent = torch.multinomial(missing.double(), 1, generator=generator).squeeze(1)
    return images[some], maps[some], present, absent


def _smoothed(
    model: nn.Module, images: torch.Tensor, classes: torch.Tensor, t: float, path: NoisingPath
) -> torch.Tensor:
    """(N, h, w) errors, averaged over small squares; the noise depends on nothing that is given."""
    generator = torch.Generator().manual_seed(1)
    batches: list[Labelled] = list(zip(images.split(64), classes.split(64), strict=True))
    errors = torch.cat(
        [
            noise_errors(model, part, own, torch.full((len(own),), t), path=path, generator=generator)
            for part, own in batches
        ]
    )
    return F.avg_pool2d(errors, SMOOTHING, stride=1, padding=SMOOTHING // 2, count_include_pad=False)[:, 0]
