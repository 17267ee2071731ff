"""The guide's weights before its first update: from scratch, or those of a guide of other classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from dusa_ignite.data.class_names import differences
from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.guides import find_family, load_transformer
from dusa_ignite.models.guides.other_sizes import body_options, families_of, vae_option
from dusa_ignite.models.guides.sizes import GuideSizes, guide_sizes
from dusa_ignite.models.guides.vae import DOWNSAMPLING, LATENT_CHANNELS, PIXEL_CHANNELS
from dusa_ignite.models.metadata import names_in
from dusa_ignite.models.weights import load_strict, load_weights
from dusa_ignite.pretraining.own.config import Init, OwnTransformer

logger = logging.getLogger(__name__)

TABLE = "y_embedder.embedding_table.weight"


def initial_transformer(
    options: OwnTransformer,
    init: Init | None,
    *,
    num_classes: int,
    image_size: int,
    in_latents: bool,
    classes: Sequence[str] = (),
) -> nn.Module:
    """The transformer to be trained, on the CPU, in float32; all but its positions learn.

    Call ``torch.manual_seed`` before: weights from scratch, and new classes, are drawn from torch's own generator.

    Args:
        options: of the guide.
        init: what it begins with; ``None`` = from scratch.
        num_classes: of the data.
        image_size: pixels, side of the square that it sees.
        in_latents: whether these are a VAE's latents.
        classes: names of the data's classes; where the old ones are kept, they must be the checkpoint's.

    Raises:
        CheckpointError: the checkpoint is not one of such a guide; the message says which options fit it.
    """
    sizes: dict[str, Any] = options.sizes
    model: Any = load_transformer(
        "random",
        family=options.family,
        num_classes=num_classes,
        latent_size=image_size // (DOWNSAMPLING if in_latents else 1),
        in_channels=LATENT_CHANNELS if in_latents else PIXEL_CHANNELS,
        **sizes,
    )
    if init is None:
        nn.init.normal_(model.y_embedder.embedding_table.weight, std=options.class_std)
    else:
        _begin_with(model, init, options, classes)
    model.y_embedder.requires_grad_(True)
    return model


def _begin_with(model: nn.Module, init: Init, options: OwnTransformer, classes: Sequence[str]) -> None:
    source = f"init.checkpoint: {init.checkpoint}"
    weights = load_weights(
        init.checkpoint,
        key="init.checkpoint",
        embedded="transformer",
        dropped=find_family(options.family).dropped,
    )
    sizes, own = guide_sizes(weights), guide_sizes(model.state_dict())
    if sizes is None:
        raise CheckpointError(f"{source}: holds no guide of the families repa, sit or dit")
    assert own is not None
    changes = _changes(sizes, own)
    if changes:
        raise CheckpointError(f"{source}: made for other sizes than the config's; set {' '.join(changes)}")
    if init.keep == "all_but_classes":
        weights[TABLE] = new_classes(weights[TABLE], own.num_classes)
        logger.info("%s: %d new classes instead of its %d", source, own.num_classes, sizes.num_classes)
    elif sizes.num_classes != own.num_classes:
        raise CheckpointError(
            f"{source}: knows {sizes.num_classes} classes, the data have {own.num_classes}; set "
            "init.keep=all_but_classes"
        )
    else:
        _check_names(classes, names_in(init.checkpoint, key="init.checkpoint", embedded="transformer"), source)
    load_strict(model, weights, source=source)


def new_classes(table: torch.Tensor, count: int) -> torch.Tensor:
    """A table (count + 1, D) of new classes, drawn like the old ones: normal, with their mean and standard deviation
    in every dimension; the last row, which stands for no class, stays.

    Args:
        table: (old + 1, D).
        count: new classes.
    """
    old = table[:-1]
    drawn = old.mean(dim=0) + old.std(dim=0, unbiased=False) * torch.randn(count, table.shape[1], dtype=table.dtype)
    return torch.cat([drawn, table[-1:]])


def _check_names(classes: Sequence[str], known: Sequence[str], source: str) -> None:
    different = differences(classes, known) if classes and known else []
    if different:
        label, ours, theirs = different[0]
        raise CheckpointError(
            f"{source}: its classes are others, or in another order: {label} is {ours!r} in the data, {theirs!r} there"
            "; give its order as data.classes, or set init.keep=all_but_classes"
        )


def _changes(sizes: GuideSizes, own: GuideSizes) -> list[str]:
    """The options of the config that a checkpoint needs otherwise."""
    changes = []
    if sizes.learns_sigma != own.learns_sigma:
        changes.append(f"transformer.family={families_of(sizes)}")
    if (sizes.patch_size, sizes.hidden_size, sizes.depth) != (own.patch_size, own.hidden_size, own.depth):
        changes += body_options(sizes)
    if sizes.in_channels != own.in_channels:
        changes.append(vae_option(sizes))
    if sizes.image_size != own.image_size or sizes.in_channels != own.in_channels:
        changes.append(f"image_size={sizes.image_size}")
    return changes
