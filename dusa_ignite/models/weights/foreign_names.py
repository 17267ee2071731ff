"""Names of other libraries for architectures that timm has too.

Of torchvision's models, resnet, wide_resnet, resnext, densenet and inception_v3 have timm's own names and need nothing.
Three more are translated, by tables that the tests hold against both libraries' logits: ``vit_*`` (timm's
``vit_*_patch*``), ``convnext_*`` and ``vgg*``. For the others (swin, efficientnet, mobilenet, regnet, ...) timm's
networks differ in names and partly in arithmetic; they are refused, with the advice to give a factory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.shown import shown

VIT = (
    (r"^class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"^encoder\.ln\.", "norm."),
    (r"^heads\.head\.", "head."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(0|linear_1)\.", ".mlp.fc1."),
    (r"\.mlp\.(3|linear_2)\.", ".mlp.fc2."),
)
CONVNEXT = (
    (r"^features\.0\.", "stem."),
    (r"^classifier\.0\.", "head.norm."),
    (r"^classifier\.2\.", "head.fc."),
    (r"\.block\.0\.", ".conv_dw."),
    (r"\.block\.2\.", ".norm."),
    (r"\.block\.3\.", ".mlp.fc1."),
    (r"\.block\.5\.", ".mlp.fc2."),
    (r"\.layer_scale$", ".gamma"),
)
VGG = (
    (r"^classifier\.0\.", "pre_logits.fc1."),
    (r"^classifier\.3\.", "pre_logits.fc2."),
    (r"^classifier\.6\.", "head.fc."),
)
TORCHVISION = "torchvision"
HINTS = (  # whose names they are, and names that give it away; timm has none of them
    (TORCHVISION, r"^(features\.\d+|trunk_output\.|class_token$|conv_proj\.|heads\.head\.)"),
    ("transformers", r"^(\w+\.)?(embeddings|embedder)\.|\.attention\.attention\.|\.self_attn\.[qkv]_proj\."),
    ("Keras or JAX", r"(/|^params\.).*kernel|:0$"),
)


def as_timm(weights: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Weights under timm's names, with whose names they had; nothing where no table fits."""
    if "class_token" in weights and "conv_proj.weight" in weights:
        yield TORCHVISION, {_rename(name, VIT): value for name, value in weights.items()}
    elif any(name.endswith(".layer_scale") for name in weights):
        yield TORCHVISION, {_convnext(name): _flat(name, value) for name, value in weights.items()}
    elif {"features.0.weight", "classifier.6.weight"} <= weights.keys():
        yield TORCHVISION, {_rename(name, VGG): _vgg(name, value) for name, value in weights.items()}


def library_of(names: Iterable[str], wanted: Iterable[str] = ()) -> str | None:
    """Whose names these are, if not timm's: ``torchvision``, ``transformers``, or ``None``.

    Args:
        names: of a checkpoint.
        wanted: the model's; names that it has too give nothing away.
    """
    others = set(names).difference(wanted)
    return next((lib for lib, pattern in HINTS if any(re.search(pattern, name) for name in others)), None)


def check_library(weights: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Say it in a line where all names are another library's, instead of listing what is missing.

    Args:
        weights: under their names in the file.
        wanted: the model's state dict.
        where: for the message.

    Raises:
        CheckpointError: no name is the model's, and they are known to be another library's.
    """
    if wanted.keys().isdisjoint(weights) and (library := library_of(weights, wanted)):
        raise CheckpointError(
            f"{where}: the names of its weights are {library}'s (such as {shown(next(iter(weights)))}), and are not "
            f"known for this architecture; give classifier.name=path/to/file.py:build, or convert the names"
        )


def _rename(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in table:
        name = re.sub(pattern, new, name)
    return name


def _convnext(name: str) -> str:
    """``features.<2k+1>`` is stage k, ``features.<2k>`` the downsampling before it."""
    found = re.match(r"features\.(\d+)\.(\d+)\.", name)
    if found and int(found[1]):
        stage, inner = divmod(int(found[1]) - 1, 2)
        part = f"stages.{stage + 1}.downsample" if inner else f"stages.{stage}.blocks"
        name = f"{part}.{found[2]}.{name[found.end() :]}"
    return _rename(name, CONVNEXT)


def _flat(name: str, value: torch.Tensor) -> torch.Tensor:
    return value.flatten() if name.endswith(".layer_scale") and value.layout == torch.strided else value


def _vgg(name: str, value: torch.Tensor) -> torch.Tensor:
    """timm's first two linear layers are convolutions."""
    if name == "classifier.0.weight" and value.dim() == 2 and value.shape[1] % 49 == 0:
        return value.reshape(value.shape[0], -1, 7, 7)
    return value[:, :, None, None] if name == "classifier.3.weight" and value.dim() == 2 else value
