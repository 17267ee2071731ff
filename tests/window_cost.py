"""What a window of segmentation costs at the paper's size, counted from shapes: operations, parameters, activations.

    python tests/window_cost.py [--classes 20] [--micro-batch 4]

Nothing is computed: Stable Diffusion 1.5, its ControlNet, its VAE and SegFormer-B5 are built on torch's meta
device, without weights, and passes are measured as for the estimate of memory before a run. The update's own arithmetic
is left out, as is what an allocator takes beyond what is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from dusa_ignite.models.guides.activation_checkpointing import checkpointed
from dusa_ignite.models.guides.paths import ddpm
from dusa_ignite.models.guides.vae import SD_VAE
from dusa_ignite.models.live_memory import usage
from dusa_ignite.models.model_memory import transformer_usage, weights
from dusa_ignite.segmentation.prompted_unet import PromptedUnet
from dusa_ignite.segmentation.window_guide import WindowGuide

WINDOW, LATENT, CLASSES, TOKENS, WIDTH = 512, 64, 150, 77, 768
UNET: dict[str, Any] = {
    "sample_size": LATENT,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
}
SEGFORMER_B5: dict[str, Any] = {
    "hidden_sizes": [64, 128, 320, 512],
    "depths": [3, 6, 40, 3],
    "num_attention_heads": [1, 2, 5, 8],
    "decoder_hidden_size": 768,
    "num_labels": CLASSES,
}
GIB = 2**30


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--classes", type=int, default=20, help="kept per window, 1 .. 150")
    parser.add_argument("--micro-batch", type=int, default=4, help="pairs of window and class in the graph at once")
    given = parser.parse_args()
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNET)
        control = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
        guide = PromptedUnet(unet, controlnet=control, embeddings=torch.zeros(CLASSES, TOKENS, WIDTH))
        vae = AutoencoderKL(**SD_VAE)
        segmenter = SegformerForSemanticSegmentation(SegformerConfig(**SEGFORMER_B5))
    pairs, image = given.classes, torch.zeros(1, 3, WINDOW, WINDOW, device="meta")

    def predict(count: int) -> Callable[[], Any]:
        x = torch.zeros(count, 4, LATENT, LATENT, device="meta")
        steps, classes = (torch.zeros(count, dtype=torch.int64, device="meta") for _ in range(2))
        return lambda: guide(x, steps, classes)

    passes = {
        "VAE, one window": (vae, lambda: vae.encode(image), 1),
        "SegFormer-B5, 512 x 512": (segmenter, lambda: segmenter(pixel_values=image), 1),
        "UNet + ControlNet, one class": (guide, predict(1), 1),
    }
    for name, (model, run, _) in passes.items():
        tera = operations(run) / 1e12
        print(f"{name:32} {size(model) / 1e6:8.1f} M parameters  {tera:7.2f} TFLOP forward")
    forward = operations(predict(1)) / 1e12
    print(f"\none window of {pairs} classes, in micro-batches of {given.micro_batch}, guide in half precision:")
    last = min(given.micro_batch, pairs)
    whole = pairs - last + 3 * pairs  # all but the last piece are predicted twice; a backward pass is two forward ones
    print(f"  all classes learn            {forward * whole:8.1f} TFLOP ({whole} forward passes)")
    print(f"  guide_backward=sampled       {forward * (pairs + 3):8.1f} TFLOP ({pairs + 3} forward passes)")
    joined = WindowGuide(guide, path=ddpm, image_size=WINDOW, vae=vae, autocast_dtype=torch.bfloat16)
    for meaning in ("none", "blocks"):
        if meaning == "blocks":
            for part in (unet, control):
                part.enable_gradient_checkpointing(checkpointed)
        held = transformer_usage(joined, given.micro_batch, graph=True, embedded=False)
        print(f"  activations, checkpointing={meaning:7} {held.graph / GIB:6.1f} GiB, {held.peak / GIB:.1f} at most")
    learnt = size(guide) + size(segmenter)
    own = usage(lambda: segmenter(pixel_values=image).logits, present=weights(segmenter), graph=True)
    print(f"  activations of the segmenter        {own.graph / GIB:6.1f} GiB, {own.peak / GIB:.1f} at most")
    print(f"  parameters, gradients, two moments  {16 * learnt / GIB:6.1f} GiB in float32, {learnt / 1e6:.0f} M learn")
    print(f"  and the source state of resets      {4 * learnt / GIB:6.1f} GiB in host memory or on the GPU")


def size(model: nn.Module) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def operations(run: Callable[[], Any]) -> int:
    """Floating-point operations of a call; a multiplication and an addition count as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
