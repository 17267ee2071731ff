"""The VAE whose latents the transformer was trained on, through diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from torch import nn

from dusa_ignite.errors import CheckpointError
from dusa_ignite.utils.quiet import quiet
from dusa_ignite.utils.section import Section

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

DOWNSAMPLING = 8  # image side / latent side
LATENT_CHANNELS = 4
PIXEL_CHANNELS = 3  # without a VAE


class VaeOptions(Section):
    """The autoencoder whose latents the transformer works on."""

    pretrained: str | None = Field(
        default="stabilityai/sd-vae-ft-ema", min_length=1, description="hub id, folder, or random; null = pixel space"
    )
    scaling_factor: float = Field(default=0.18215, gt=0, description="multiplies the latents, > 0")


SD_VAE = {  # architecture of stabilityai/sd-vae-ft-ema, for `random`
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": LATENT_CHANNELS,
    "sample_size": 256,
}


def load_vae(pretrained: str) -> AutoencoderKL:
    """The encoding half of a VAE, frozen, in eval mode and float32.

    Args:
        pretrained: a hub id (``stabilityai/sd-vae-ft-ema``), a folder in diffusers' format, or ``random`` (the same
            architecture without weights).

    Raises:
        CheckpointError: neither a folder nor a repository that can be reached, or one that holds no such VAE.
    """
    from diffusers import AutoencoderKL  # takes seconds, for which runs in pixel space need not wait

    if pretrained == "random":
        vae = AutoencoderKL(**SD_VAE)
    else:
        try:
            with quiet():
                vae, loading = AutoencoderKL.from_pretrained(
                    pretrained, output_loading_info=True, low_cpu_mem_usage=False
                )
        except Exception as error:  # the hub's and diffusers' errors share no base class
            reason, where = type(error).__name__, "neither a folder, nor in the local cache, nor could it be downloaded"
            if Path(pretrained).exists():
                reason = str(error).splitlines()[0] if str(error) else reason
                where = "not a folder in diffusers' format"
            raise CheckpointError(
                f"vae.pretrained: {pretrained}: {where} ({reason}); offline, fetch the repository elsewhere and give "
                f"its folder"
            ) from error
        if loading["missing_keys"]:  # diffusers goes on with uninitialised weights
            names = sorted(loading["missing_keys"])
            raise CheckpointError(
                f"vae.pretrained: {pretrained}: {len(names)} weights are missing: {', '.join(names[:3])}"
            )
    if vae.config.latent_channels != LATENT_CHANNELS or len(vae.config.block_out_channels) != 4:
        raise CheckpointError(f"vae.pretrained: {pretrained}: latents must have 4 channels at 1/8 of the image's side")
    vae.decoder, vae.post_quant_conv = nn.Identity(), nn.Identity()  # only the encoder is used
    return vae.requires_grad_(False).eval()
