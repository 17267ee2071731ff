"""UNets, with a ControlNet or without, read from folders or repositories of the shape of Stable Diffusion 1.x.

Two of its parts may be missing. ``prompts.safetensors`` stands in for tokenizer and text encoder, see
:mod:`dusa_ignite.segmentation.stored_prompts`; and a UNet of three channels needs no VAE, it works on pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.models.guides.paths import NoisingPath, scheduled
from dusa_ignite.models.guides.vae import LATENT_CHANNELS, PIXEL_CHANNELS, load_vae
from dusa_ignite.models.weights.load import load_found
from dusa_ignite.models.weights.places import locate
from dusa_ignite.models.weights.strict import load_strict
from dusa_ignite.segmentation.prompted_unet import PromptedUnet
from dusa_ignite.segmentation.prompts import PROMPT, embed_prompts, prompts_of
from dusa_ignite.segmentation.shipped import EMBEDDED, shipped_shapes
from dusa_ignite.segmentation.stored_prompts import PROMPTS, read_prompts
from dusa_ignite.segmentation.window_guide import WindowGuide
from dusa_ignite.utils.paths import expanded
from dusa_ignite.utils.quiet import quiet

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

TEXT_PARTS = ("tokenizer", "text_encoder")
PARTS = ("unet", "vae", "scheduler", *TEXT_PARTS)
FILES = ("*.json", "*.txt", "*model.safetensors", "*model.safetensors.index.json", "*model-*-of-*.safetensors")


def load_window_guide(
    pretrained: str,
    *,
    class_names: Sequence[str],
    controlnet: str | None,
    window: int = 512,
    prompt: str = PROMPT,
    trainable: bool = True,
    autocast_dtype: torch.dtype | None = None,
    activation_checkpointing: bool = False,
) -> WindowGuide:
    """UNet, VAE, noise schedule and prompts of one folder, joined; with a ControlNet of another one, or without.

    Args:
        pretrained: a folder with the sub-folders unet, vae, scheduler, tokenizer and text_encoder, or a hub id
            (``stable-diffusion-v1-5/stable-diffusion-v1-5``); or ``embedded``, the package's own for the canvases. What
            may be missing, the module says.
        class_names: of the data, in the order of the labels.
        controlnet: a folder as diffusers writes it, or a hub id (``lllyasviel/control_v11p_sd15_seg``); ``None`` =
            without.
        window: side in pixels of what the guide is shown.
        prompt: a sentence with ``{class}`` in it; not for a guide that has its prompts in a file.
        trainable: whether UNet and ControlNet learn; the VAE and the prompts never do.
        autocast_dtype: half precision for all but the prompts; ``None`` = their own.
        activation_checkpointing: keep the inputs of blocks alone and compute the rest again on the way back.

    Raises:
        CheckpointError: something is missing, does not fit, or predicts something else than noise.
        ConfigError: the prompt has no place for the class, or no class has a name; or there is a prompt, or a
            ControlNet, for a guide that cannot have one.
        UserError: transformers is not installed.
    """
    prompts = prompts_of(class_names, prompt=prompt)
    source = f"unet.pretrained: {pretrained}"
    patterns = (PROMPTS, *(f"{part}/{name}" for part in PARTS for name in FILES))
    folder = found_folder(pretrained, source=source, patterns=patterns)
    stored, in_pixels = (folder / PROMPTS).is_file(), _in_channels(folder / "unet") == PIXEL_CHANNELS
    _check_parts(folder, spared=(*TEXT_PARTS,) * stored + ("vae",) * in_pixels, source=source)
    if stored and prompt != PROMPT:
        raise ConfigError(f"unet.prompt: {pretrained} has its prompts in {PROMPTS} and reads none; leave it out")
    if in_pixels and controlnet is not None:
        raise ConfigError(f"unet.controlnet: {pretrained} works on pixels, ControlNets on a VAE's latents; null")
    unet = load_unet(
        folder / "unet", source=f"{source}/unet", channels=PIXEL_CHANNELS if in_pixels else LATENT_CHANNELS
    )
    control = None
    if controlnet is not None:
        control_source = f"unet.controlnet: {controlnet}"
        control = load_controlnet(
            found_folder(controlnet, source=control_source, patterns=FILES), unet=unet, source=control_source
        )
    if stored:
        embeddings = read_prompts(folder / PROMPTS, class_names, source=source)
    else:
        embeddings = embed_prompts(folder, prompts, source=source)
    try:
        transformer = PromptedUnet(unet, controlnet=control, embeddings=embeddings)
    except ValueError as error:
        other = PROMPTS if stored else "text_encoder"
        raise CheckpointError(f"{source}: unet and {other} do not fit each other: {error}") from error
    if activation_checkpointing:
        transformer.checkpoint_blocks()
    vae = None if in_pixels else _load_vae(folder / "vae", source=f"{source}/vae")
    return WindowGuide(
        transformer.requires_grad_(trainable),
        path=load_path(folder / "scheduler", source=source),
        image_size=window,
        vae=vae,
        scaling_factor=1.0 if vae is None else vae.config.scaling_factor,
        autocast_dtype=autocast_dtype,
    ).eval()


def load_unet(folder: Path, *, source: str, channels: int = LATENT_CHANNELS) -> UNet2DConditionModel:
    """diffusers' UNet of a folder, in float32 and eval mode; loading is strict.

    Raises:
        CheckpointError: it is none, its weights do not fit, or it does not take and return so many channels.
    """
    from diffusers import UNet2DConditionModel

    unet = _load(UNet2DConditionModel, folder, source=source)
    own = (unet.config.in_channels, unet.config.out_channels)
    if own != (channels, channels):
        raise CheckpointError(
            f"{source}: takes {own[0]} channels and returns {own[1]}; allowed: 4 (latents of Stable Diffusion 1.x, "
            "beside a vae) or 3 (pixels)"
        )
    return unet


def load_controlnet(folder: Path, *, unet: UNet2DConditionModel, source: str) -> ControlNetModel:
    """diffusers' ControlNet of a folder, in float32 and eval mode; loading is strict.

    Raises:
        CheckpointError: it is none, its weights do not fit, or it is one for another UNet.
    """
    from diffusers import ControlNetModel

    controlnet = _load(ControlNetModel, folder, source=source)
    for key in ("block_out_channels", "layers_per_block", "cross_attention_dim"):
        own, wanted = (
            list(value) if isinstance(value, tuple) else value for value in (controlnet.config[key], unet.config[key])
        )
        if own != wanted:
            raise CheckpointError(f"{source}: is for another UNet: its {key} is {own}, this one's is {wanted}")
    return controlnet


def load_path(folder: Path, *, source: str) -> NoisingPath:
    """The noising path of a scheduler's betas.

    Raises:
        CheckpointError: its scheduler_config.json cannot be read, or says that the model predicts no noise.
    """
    from diffusers import DDPMScheduler

    try:
        config = json.loads((folder / "scheduler_config.json").read_text(encoding="utf-8"))
        with quiet():
            scheduler = DDPMScheduler.from_config(config)
    except Exception as error:  # diffusers' errors share no base class
        raise CheckpointError(f"{source}: scheduler/scheduler_config.json cannot be used ({_reason(error)})") from error
    if scheduler.config.prediction_type != "epsilon":
        raise CheckpointError(
            f"{source}: its UNet predicts {scheduler.config.prediction_type}, not the noise (epsilon) as the 1.x do"
        )
    return scheduled(scheduler.alphas_cumprod)


def found_folder(name: str, *, source: str, patterns: Sequence[str]) -> Path:
    """The folder, or the one in the hub's cache that holds a repository's files, as far as they fit the patterns.

    Raises:
        CheckpointError: neither a folder nor a repository that can be reached.
    """
    from huggingface_hub import snapshot_download

    if name == EMBEDDED:
        return shipped_shapes("guide")
    path = expanded(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise CheckpointError(f"{source}: a file; give a folder in diffusers' format")
    try:
        with quiet():
            return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's errors share no base class
        raise CheckpointError(
            f"{source}: neither a folder, nor in the local cache, nor could it be downloaded ({type(error).__name__}); "
            "offline, fetch the repository elsewhere and give its folder"
        ) from error


def _in_channels(unet: Path) -> int | None:
    """As a UNet's folder says; ``None`` where it says nothing, which is told of when it is loaded."""
    try:
        return json.loads((unet / "config.json").read_text(encoding="utf-8"))["in_channels"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_parts(folder: Path, *, spared: Sequence[str], source: str) -> None:
    """Refuse a folder without the parts that it needs."""
    missing = [part for part in PARTS if part not in spared and not (folder / part).is_dir()]
    if missing:
        instead = f" (or {PROMPTS} for {' and '.join(TEXT_PARTS)})" if set(TEXT_PARTS) & set(missing) else ""
        raise CheckpointError(
            f"{source}: lacks the sub-folders {', '.join(missing)} that Stable Diffusion 1.x has{instead}"
        )


def _load_vae(folder: Path, *, source: str) -> AutoencoderKL:
    try:
        return load_vae(str(folder))
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(f"vae.pretrained: {folder}", source, 1)) from error


def _load(kind: Any, folder: Path, *, source: str) -> Any:
    found = locate(folder, key=source.partition(":")[0])
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("_class_name") != kind.__name__:
            raise ValueError(f"its config.json describes a {config.get('_class_name')}, not a {kind.__name__}")
        with quiet():
            model = kind.from_config(config)
    except Exception as error:  # diffusers' errors share no base class
        raise CheckpointError(f"{source}: not a folder in diffusers' format ({_reason(error)})") from error
    load_strict(model, load_found(found, where=source, wanted=model.state_dict()).weights, source=source)
    return model.eval()


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
