"""A guide without its weights, for what a run will take: built from the small files of its folder or repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from dusa_ignite.models.guides.activation_checkpointing import checkpointed
from dusa_ignite.models.guides.paths import ddpm
from dusa_ignite.models.guides.vae import PIXEL_CHANNELS, without_decoder
from dusa_ignite.segmentation.load_guide import found_folder
from dusa_ignite.segmentation.prompted_unet import PromptedUnet
from dusa_ignite.segmentation.stored_prompts import EMBEDDINGS, PROMPTS
from dusa_ignite.segmentation.window_guide import WindowGuide

CONFIG = "config.json"


def window_guide_shapes(
    pretrained: str,
    *,
    num_classes: int,
    controlnet: str | None,
    window: int,
    trainable: bool,
    autocast_dtype: torch.dtype | None,
    activation_checkpointing: bool,
) -> WindowGuide:
    """The guide that :func:`dusa_ignite.segmentation.load_guide.load_window_guide` returns, without any content.

    Its noising path is not to be used.

    Args:
        pretrained, controlnet, window, trainable, autocast_dtype, activation_checkpointing: see there.
        num_classes: how many prompts there are.

    Raises:
        Exception: something is missing or does not fit; what it is, loading the guide says.
    """
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

    small = (PROMPTS, *(f"{part}/{CONFIG}" for part in ("unet", "vae", "text_encoder")))
    folder = found_folder(pretrained, source="unet.pretrained", patterns=small)
    unet = UNet2DConditionModel.from_config(_config(folder / "unet"))
    control = None
    if controlnet is not None:
        control_folder = found_folder(controlnet, source="unet.controlnet", patterns=(CONFIG,))
        control = ControlNetModel.from_config(_config(control_folder))
    vae = None
    if unet.config.in_channels != PIXEL_CHANNELS:
        vae = without_decoder(AutoencoderKL.from_config(_config(folder / "vae"))).requires_grad_(False)
    embeddings = torch.empty(num_classes, _tokens(folder), unet.config.cross_attention_dim)
    transformer = PromptedUnet(unet, controlnet=control, embeddings=embeddings)
    if activation_checkpointing:
        transformer.checkpoint_blocks(checkpointed)
    return WindowGuide(
        transformer.requires_grad_(trainable),
        path=ddpm,
        image_size=window,
        vae=vae,
        autocast_dtype=autocast_dtype,
    ).eval()


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CONFIG).read_text(encoding="utf-8"))


def _tokens(folder: Path) -> int:
    """Of a prompt."""
    if (folder / PROMPTS).is_file():
        with safe_open(folder / PROMPTS, framework="pt") as content:
            return content.get_slice(EMBEDDINGS).get_shape()[1]
    return _config(folder / "text_encoder")["max_position_embeddings"]
