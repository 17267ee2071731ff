"""A small UNet with a prompt per class, trained to predict the noise in windows of canvases.

What a window's guide is asked is: which noise is here, if this place belongs to class k? Segmentation then weighs the
answers by how likely each class is at the place, and by the law of total expectation

    E[noise at p | x_t] = sum_k P(class at p is k | x_t) E[noise at p | x_t, class at p is k],

so the right weights have the smallest error. A guide learns the last factor if, for a prompt k, the loss counts at the
places of class k, and there alone. Where a tenth of the loss lay elsewhere, and 3 pixels around a digit counted as its
own, the ground's prompt was the better one in 55 % of its places instead of 91 %: a prompt that has learnt to be right
everywhere says nothing of a place. Windows have less contrast now and then, as a diffusion model knows more images
than a segmenter does: without that, faded ink passes for ground.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dusa_ignite.data.segmentation.drawing import CLASSES
from dusa_ignite.models.guides.paths import scheduled
from dusa_ignite.models.guides.times import TimeSampler
from dusa_ignite.pretraining.augment import fade
from dusa_ignite.pretraining.loop import Labelled, train
from dusa_ignite.pretraining.shapes_config import GuideTraining
from dusa_ignite.pretraining.shapes_data import Drawn, window_batches
from dusa_ignite.pretraining.shapes_measure import measure_guide, noise_errors
from dusa_ignite.segmentation.stored_prompts import PROMPTS, write_prompts
from dusa_ignite.utils.quiet import quiet

NORM_GROUPS = 8
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}  # Stable Diffusion's


class PromptedGuide(nn.Module):
    """The UNet and what it hears of each class; both learn."""

    def __init__(self, options: GuideTraining) -> None:
        from diffusers import UNet2DConditionModel

        super().__init__()
        self.unet = UNet2DConditionModel(
            sample_size=options.window,
            in_channels=3,
            out_channels=3,
            down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),  # costly in the finer ones
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            block_out_channels=options.widths,
            layers_per_block=1,
            norm_num_groups=NORM_GROUPS,
            cross_attention_dim=options.prompt_width,
            attention_head_dim=4,
        )
        self.embeddings = nn.Parameter(torch.randn(len(CLASSES), options.tokens, options.prompt_width))

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(B, 3, h, w) noise in x (B, 3, h, w) at steps t (B,) for classes y (B,) int64."""
        return self.unet(x, t, self.embeddings[y]).sample


def scheduler() -> Any:
    """Diffusers' scheduler with the betas of Stable Diffusion; it can be written to a folder."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(1000, prediction_type="epsilon", clip_sample=False, **SCHEDULE)


def train_guide(
    options: GuideTraining,
    *,
    training: Drawn,
    validation: Drawn,
    generator: torch.Generator,
    log_every_seconds: float,
) -> tuple[PromptedGuide, dict[str, Any]]:
    """The averaged guide, and what :func:`measure_guide` says of it, and seconds."""
    model = PromptedGuide(options)
    path = scheduled(scheduler().alphas_cumprod)
    draw_time: TimeSampler = options.time.sampler()  # type: ignore[attr-defined]

    def loss(batch: Labelled) -> torch.Tensor:
        images, maps = fade(batch[0], min_contrast=options.min_contrast, generator=generator), batch[1]
        classes = draw_classes(maps, generator)
        places = (maps == classes[:, None, None])[:, None]
        times = torch.tensor([draw_time(generator) for _ in images])
        errors = noise_errors(model, images, classes, times, path=path, generator=generator)
        return errors[places].mean()

    ema, metrics = train(
        model,
        loss=loss,
        batches=window_batches(training, size=options.window, batch_size=options.batch_size, generator=generator),
        validate=lambda ema: measure_guide(ema, validation, window=options.window, path=path),
        options=options,
        log_every_seconds=log_every_seconds,
    )
    assert isinstance(ema, PromptedGuide)
    return ema, {"parameters": sum(p.numel() for p in ema.parameters()), **metrics}


def draw_classes(maps: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(B,) int64: of each map (B, h, w) one of the classes that are in it, each with the same probability."""
    present = torch.stack([(maps == label).flatten(1).any(dim=1) for label in range(len(CLASSES))], dim=1)
    return torch.multinomial(present.double(), 1, generator=generator).squeeze(1)


def write_guide(guide: PromptedGuide, folder: Path) -> None:
    """A folder for :func:`dusa_ignite.segmentation.load_guide.load_window_guide`: unet, scheduler, prompts.

    The UNet's values are stored in float16, half as large; they are read as float32.

    Args:
        guide: as it is.
        folder: made if missing.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        copy.deepcopy(guide.unet).half().save_pretrained(folder / "unet")
        scheduler().save_pretrained(folder / "scheduler")
    write_prompts(folder / PROMPTS, guide.embeddings, CLASSES)
