"""The VAE whose latents the transformer was trained on, through diffusers."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from torch import nn

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights import load_strict
from dusa_ignite.models.weights.load import load_found
from dusa_ignite.models.weights.places import FOLDER_NAMES, Found, locate
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.quiet import quiet
from dusa_ignite.utils.section import PathText, Section

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

logger = logging.getLogger(__name__)

DOWNSAMPLING = 8  # image side / latent side
LATENT_CHANNELS = 4
PIXEL_CHANNELS = 3  # without a VAE


class VaeOptions(Section):
    """The autoencoder whose latents the transformer works on."""

    pretrained: PathText | None = Field(
        default="stabilityai/sd-vae-ft-ema", min_length=1, description="hub id, folder, or random; null = pixel space"
    )
    scaling_factor: float = Field(default=0.18215, gt=0, description="multiplies the latents, > 0")


OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
SD_VAE = {  # architecture of stabilityai/sd-vae-ft-ema, for `random`
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": LATENT_CHANNELS,
    "sample_size": 256,
}


def load_vae(pretrained: str, *, decodes: bool = False) -> AutoencoderKL:
    """The encoding half of a VAE, frozen, in eval mode and float32.

    Args:
        pretrained: a hub id (``stabilityai/sd-vae-ft-ema``), a folder in diffusers' format, or ``random`` (the same
            architecture without weights).
        decodes: keep the decoding half, too.

    Raises:
        CheckpointError: neither a folder nor a repository that can be reached, or one that holds no such VAE.
    """
    from diffusers import AutoencoderKL  # takes seconds, for which runs in pixel space need not wait

    if pretrained == "random":
        vae = AutoencoderKL(**SD_VAE)
    else:
        source = f"vae.pretrained: {pretrained}"
        found = _locate(pretrained)
        try:
            config = json.loads(Path(str(found.config)).read_text(encoding="utf-8"))
            if config.get("_class_name", "AutoencoderKL") != "AutoencoderKL" or "block_out_channels" not in config:
                raise ValueError("its config.json describes no AutoencoderKL")
            with quiet():
                vae = AutoencoderKL.from_config(config)
        except Exception as error:  # diffusers' errors share no base class
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"{source}: not a folder in diffusers' format ({reason})") from error
        wanted = vae.state_dict()
        loaded = load_found(found, where=source, wanted=wanted, rename=_new_name)
        logger.info("%s: took %s", source, loaded.line)
        load_strict(vae, loaded.weights, source=source)
    if vae.config.latent_channels != LATENT_CHANNELS or len(vae.config.block_out_channels) != 4:
        raise CheckpointError(f"vae.pretrained: {pretrained}: latents must have 4 channels at 1/8 of the image's side")
    return (vae if decodes else without_decoder(vae)).requires_grad_(False).eval()


def without_decoder(vae: AutoencoderKL) -> AutoencoderKL:
    """The same VAE with nothing but what encodes."""
    vae.decoder, vae.post_quant_conv = nn.Identity(), nn.Identity()
    return vae


def _locate(pretrained: str) -> Found:
    path = expanded(pretrained)
    if path.is_file():
        raise CheckpointError(f"vae.pretrained: {pretrained}: a file; give its folder, in diffusers' format")
    known = path.is_dir() or pretrained.startswith(FOLDER_NAMES)
    try:
        found = locate(pretrained if known else f"hf-hub:{pretrained}", key="vae.pretrained")
    except CheckpointError as error:
        line = str(error).replace("hf-hub:", "", 1).replace("neither in", "neither a folder, nor in", 1)
        raise CheckpointError(str(error) if known else line) from error.__cause__
    if found.config is None:
        raise CheckpointError(f"vae.pretrained: {pretrained}: not a folder in diffusers' format (no config.json)")
    return found


def _new_name(name: str) -> str:
    """Attention's parameters under the names that diffusers has given them since the weights were published."""
    for old, new in OLD_NAMES.items():
        name = re.sub(rf"(\.attentions\.\d+)\.{old}\.", rf"\1.{new}.", name)
    return name
