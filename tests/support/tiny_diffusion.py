"""Folders of the shape of Stable Diffusion 1.x, its ControlNet and SegFormer: the real families, tiny and random."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, PNDMScheduler, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

CLASSES = ("wall", "sky", "tree", "road", "person", "car")
WIDTH, TOKENS, SIDE = 16, 40, 32
UNET: dict[str, Any] = {
    "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 2,
}
VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (4, 4, 8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "latent_channels": 4,
    "scaling_factor": 0.5,
}
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def write_stable_diffusion(folder: Path, *, prediction_type: str = "epsilon", width: int = WIDTH) -> Path:
    """unet, vae, scheduler, tokenizer and text_encoder."""
    torch.manual_seed(1)
    UNet2DConditionModel(**UNET).save_pretrained(folder / "unet")
    AutoencoderKL(**VAE).save_pretrained(folder / "vae")
    PNDMScheduler(1000, prediction_type=prediction_type, skip_prk_steps=True, **BETAS).save_pretrained(
        folder / "scheduler"
    )
    vocabulary = write_tokenizer(folder / "tokenizer")
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=TOKENS,
            eos_token_id=vocabulary["<|endoftext|>"],
            bos_token_id=vocabulary["<|startoftext|>"],
            pad_token_id=vocabulary["<|endoftext|>"],
        )
    ).save_pretrained(folder / "text_encoder")
    return folder


def write_tokenizer(folder: Path) -> dict[str, int]:
    """CLIP's, with letters alone and a single merge; the vocabulary."""
    letters = [*string.ascii_lowercase, *string.digits]
    words = [*letters, *(letter + "</w>" for letter in letters), "ph", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\np h\n", encoding="utf-8")
    options = {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(options), encoding="utf-8")
    return vocabulary


def write_controlnet(folder: Path, **changes: Any) -> Path:
    """A ControlNet for the UNet, whose outputs are not all zero as they are before training."""
    torch.manual_seed(2)
    controlnet = ControlNetModel.from_unet(UNet2DConditionModel(**{**UNET, **changes}), conditioning_channels=3)
    for parameter in controlnet.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    controlnet.save_pretrained(folder)
    return folder


def write_segformer(folder: Path, *, class_names: tuple[str, ...] = CLASSES, processor: bool = True) -> Path:
    """SegFormer with logits at a quarter of the resolution, as all of them."""
    torch.manual_seed(3)
    model = SegformerForSemanticSegmentation(
        SegformerConfig(
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 1, 2, 2],
            decoder_hidden_size=16,
            id2label=dict(enumerate(class_names)),
            label2id={name: label for label, name in enumerate(class_names)},
        )
    )
    model.save_pretrained(folder)
    if processor:
        SegformerImageProcessor(image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.25, 0.3]).save_pretrained(folder)
    return folder


def alphas() -> torch.Tensor:
    """The share of the signal's variance, as diffusers has it for the betas of Stable Diffusion."""
    return DDPMScheduler(1000, **BETAS).alphas_cumprod
