"""Stable Diffusion's UNet, with a ControlNet or without, as a model that takes classes: each is an embedded prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dusa_ignite.models.guides.vae import DOWNSAMPLING

if TYPE_CHECKING:
    from diffusers import ControlNetModel, UNet2DConditionModel

CONTROL_CHANNELS = 3


class PromptedUnet(nn.Module):
    """Predicts the noise in latents for a class; it stands where :class:`dusa_ignite.models.DiffusionTransformer` does.

    Args:
        unet: diffusers' ``UNet2DConditionModel``.
        embeddings: (classes, tokens, width), one sequence per class.
        controlnet: diffusers' ``ControlNetModel`` for this UNet; its control image is all zeros, as in the authors'
            code (no map is known for a test image). ``None`` = without.

    Raises:
        ValueError: the embeddings are not as wide as the UNet wants them.
    """

    embeddings: torch.Tensor

    def __init__(
        self,
        unet: UNet2DConditionModel,
        *,
        embeddings: torch.Tensor,
        controlnet: ControlNetModel | None = None,
    ) -> None:
        super().__init__()
        width = unet.config.cross_attention_dim
        if embeddings.ndim != 3 or embeddings.shape[-1] != width:
            raise ValueError(
                f"embeddings must be of shape (classes, tokens, {width}) for this UNet, not {tuple(embeddings.shape)}"
            )
        self.unet = unet
        self.controlnet = controlnet
        self.register_buffer("embeddings", embeddings.detach(), persistent=False)
        self.eval()

    @property
    def num_classes(self) -> int:
        """How many classes have an embedding."""
        return len(self.embeddings)

    def checkpoint_blocks(self, by: Callable[..., Any] | None = None) -> None:
        """From now on passes with a graph keep each block's input alone; the backward pass runs the block again.

        Args:
            by: called with a block's ``forward`` and its inputs; ``None`` = torch's own checkpoint.
        """
        self.unet.enable_gradient_checkpointing(by)
        if self.controlnet is not None:
            self.controlnet.enable_gradient_checkpointing(by)

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) noise in latents x (B, C, h, w) at steps t (B,) for classes y (B,) int64."""
        prompts = self.embeddings[y].to(x.dtype)
        if self.controlnet is None:
            return self.unet(x, t, prompts).sample
        side = [DOWNSAMPLING * length for length in x.shape[-2:]]
        nothing = x.new_zeros(len(x), CONTROL_CHANNELS, *side)
        down, middle = self.controlnet(x, t, prompts, nothing, return_dict=False)
        return self.unet(
            x, t, prompts, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
