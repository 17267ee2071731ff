"""DUSA for segmentation: a diffusion model teaches, window by window (Li et al. 2024, arXiv 2501.00873, section 4.3).

As in :mod:`dusa_ignite.methods.dusa`, the predictions for the candidate classes should add up to the noise that was
really there; but every place of the latent grid has weights of its own, and the candidates are those of a whole window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field

from dusa_ignite.distributed.collectives import global_sum
from dusa_ignite.distributed.gradients import all_reduce_gradients
from dusa_ignite.engine import Batch
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.footprint import Footprint, SlidingWindows
from dusa_ignite.methods.step import finite_step
from dusa_ignite.models.views import Images
from dusa_ignite.segmentation.backward import NoisedWindow, backpropagate_windows
from dusa_ignite.segmentation.classes import class_weights, keep_classes, latent_logits
from dusa_ignite.segmentation.draws import draw_windows
from dusa_ignite.segmentation.windows import crop_image, crop_logits, sliding_windows
from dusa_ignite.utils.section import Problem
from dusa_ignite.utils.seeding import sample_generators


class WindowDusa(Method):
    """One update per batch; the loss is the mean over its images of the mean over an image's windows.

    Published settings: one image per batch, its short side 512; AdamW with learning rate 7.5e-6, betas (0.9, 0.999) and
    no weight decay over UNet, ControlNet and segmenter; time fixed at 0.1 (step 100 of 1000); the guide in half
    precision; all reset before each corruption; seed 2024; mIoU over a corruption's images. Departures, each a fault of
    the authors' code: windows slide along the height, too; logits are cut at their own scale; the loss of every window
    is scaled before its backward pass.

    Weights over normalised logits are nearly flat, which leaves a pull towards the ground of an image that never ends:
    with a few, well-told classes even a perfect guide then does harm. ``normalise_logits=False`` is for these.

    Images go through one by one. BatchNorm with the batch's statistics therefore takes those of a single image.
    """

    class Options(Method.Options):
        """The guide teaches the segmenter, window by window (arXiv 2501.00873, section 4.3)."""

        name: Literal["window_dusa"] = "window_dusa"
        window: int = Field(
            default=512, ge=8, le=4096, multiple_of=8, description="side of the guide's windows in pixels, by 8"
        )
        stride: int = Field(default=171, ge=1, le=4096, description="pixels between windows, 1 .. window")
        top_per_pixel: int = Field(default=5, ge=1, description="most likely classes of each latent pixel, >= 1")
        max_classes: int = Field(default=20, ge=1, description="classes asked about per window at most, >= 1")
        normalise_logits: bool = Field(
            default=True, description="take the weights over L2-normalised logits; false: as they are"
        )
        guide_backward: Literal["all", "sampled"] = Field(
            default="all",
            description="classes that carry the guide's gradient: all (published), or per window one, sampled so that "
            "the estimate is unbiased, for about a third of the work",
        )

        def problems(self, *, num_classes: int) -> Iterator[Problem]:
            """A stride that leaves gaps."""
            if self.stride > self.window:
                yield Problem(
                    ("method.stride", "method.window"),
                    f"{self.stride} is more than the window's {self.window} pixels, so parts are never seen",
                )

    problems = ("segmentation",)
    guided = True

    @classmethod
    def footprint(cls, options: Options) -> Footprint:
        """A prediction per window and class; with the sampled backward, one per window has a graph."""
        sampled = options.guide_backward == "sampled"
        return Footprint(
            guide_passes=1 if sampled else options.max_classes,
            guide_passes_alone=options.max_classes if sampled else 0,
            windows=SlidingWindows(options.window, options.stride),
        )

    def __init__(self, options: Options | None = None, **parts: Any) -> None:
        super().__init__(options, **parts)
        if self.options.window > self.classifier.image_size:
            raise ValueError(
                f"method.window: {self.options.window} is more than the {self.classifier.image_size} pixels of images' "
                "shorter side (the segmenter's short_side)"
            )
        if self.guide.is_sharded:
            raise ValueError("window_dusa cannot use a sharded guide: images differ in their number of passes")

    def adapt(self, images: Images, batch: Batch) -> Step:
        """One update, with the graph of the segmenter for one image and of ``micro_batch_size`` predictions at once.

        Returns:
            A step whose logits are (B, C, h, w) at the segmenter's own resolution.

        Raises:
            DataError: images differ in their size after resizing; such images must come one by one.
        """
        if isinstance(images, list):
            images = self.classifier.crop(images)
        total = int(global_sum(len(batch["index"])))
        generators = sample_generators(self.seed, batch["task"], batch["index"])
        scaler = self.scaler or torch.amp.GradScaler(enabled=False)
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        all_logits = []
        with self.guide.weights_cast_once(self.device):
            for position, generator in enumerate(generators):
                view = self.classifier.crop(images[position : position + 1])  # both models see the resized image
                logits = self.classifier(view)
                leaf = logits.detach().requires_grad_(logits.requires_grad)
                windows, uniform = self.windows(view, leaf, generator)
                loss_sum += backpropagate_windows(
                    self.guide,
                    windows,
                    share=1 / total,
                    scaler=scaler,
                    micro_batch_size=self.micro_batch_size,
                    sampled=uniform if self.options.guide_backward == "sampled" else None,
                )
                if leaf.grad is not None:
                    logits.backward(leaf.grad)  # the whole segmenter learns, through the weights alone
                all_logits.append(leaf.detach())
        all_reduce_gradients(self.parameters)
        loss = global_sum(loss_sum.item()) / total if total else float("nan")
        stepped = finite_step(self.optimizer, self.parameters, loss, self.scaler) if total else None
        empty = torch.empty(0, self.classifier.num_classes, 0, 0, dtype=self.dtype, device=self.device)
        return Step(torch.cat(all_logits) if all_logits else empty, loss, stepped=stepped)

    def windows(
        self, view: torch.Tensor, logits: torch.Tensor, generator: torch.Generator
    ) -> tuple[list[NoisedWindow], torch.Tensor]:
        """What the guide is asked about an image (1, 3, H, W) with logits (1, C, h, w), and a number per window.

        The numbers (W,) are uniform in [0, 1).
        """
        size = (view.shape[-2], view.shape[-1])
        places = sliding_windows(*size, size=self.options.window, stride=self.options.stride)
        clean = torch.cat([self.guide.encode(crop_image(view, place)) for place in places])  # posterior's mean x factor
        draws = draw_windows(
            generator,
            time=self.time,
            num_windows=len(places),
            shape=(clean.shape[1], clean.shape[2], clean.shape[3]),
            num_classes=logits.shape[1],
            device=self.device,
        )
        noised = []
        for number, place in enumerate(places):
            one = slice(number, number + 1)
            x_t, target, model_time = self.guide.path(clean[one], draws.noise[one].to(clean.dtype), draws.times[one])
            z = latent_logits(
                crop_logits(logits, place, image_size=size),
                size=(clean.shape[-2], clean.shape[-1]),
                normalise=self.options.normalise_logits,
            )
            kept = keep_classes(
                z,
                top_per_pixel=self.options.top_per_pixel,
                max_classes=self.options.max_classes,
                scores=draws.scores[number],
            )
            noised.append(NoisedWindow(x_t, target, model_time, kept, class_weights(z, kept.classes)))
        return noised, draws.uniform
