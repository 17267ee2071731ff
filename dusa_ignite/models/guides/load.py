"""Loading a transformer: sizes of the published variants, and the weights of the three families."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator
from torch import nn

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.guides.families import find_family
from dusa_ignite.models.guides.other_sizes import other_sizes
from dusa_ignite.models.guides.variants import VARIANTS
from dusa_ignite.models.weights import load_strict, load_weights
from dusa_ignite.utils.section import PathText, Section

if TYPE_CHECKING:
    Variant: TypeAlias = str
else:
    Variant = Literal[tuple(VARIANTS)]


class TransformerOptions(Section):
    """The class-conditional diffusion or flow transformer that guides."""

    variant: Variant | None = Field(default=None, description="size and patch; null = the four sizes below are given")
    family: PathText = Field(description="whose checkpoint it is: repa, sit (official), dit, or path/to/file.py:NAME")
    checkpoint: PathText = Field(
        min_length=1, description="weights file, hub:<repo>:<file>, embedded (the digits demo's), or random"
    )
    num_classes: int = Field(
        default=1000, ge=2, le=1_000_000, description="classes without the unconditional one, >= 2"
    )
    image_size: int = Field(default=256, ge=1, le=16384, description="pixels, side of the square the guide sees, >= 1")
    trainable: bool = Field(default=True, description="whether it learns too")
    activation_checkpointing: Literal["none", "blocks"] = Field(
        default="none",
        description="blocks = keep the input of each block alone and compute the rest again on the way back",
    )
    patch_size: int | None = Field(
        default=None, ge=1, le=1024, description="latents or pixels, >= 1; null = the variant's"
    )
    hidden_size: int | None = Field(
        default=None, ge=4, le=16384, multiple_of=4, description=">= 4, by 4; null = the variant's"
    )
    depth: int | None = Field(default=None, ge=1, le=1000, description="blocks, >= 1; null = the variant's")
    num_heads: int | None = Field(
        default=None, ge=1, le=1024, description=">= 1, divides hidden_size; null = the variant's"
    )

    @field_validator("family")
    @classmethod
    def _is_known(cls, value: str) -> str:
        find_family(value)
        return value

    @field_validator("patch_size", "hidden_size", "depth", "num_heads")
    @classmethod
    def _size_is_known(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None and info.data.get("variant", "failed") is None:
            raise ValueError("missing; give transformer.variant, or patch_size, hidden_size, depth and num_heads")
        return value

    @field_validator("num_heads")
    @classmethod
    def _heads_divide_width(cls, value: int | None, info: ValidationInfo) -> int | None:
        width = info.data.get("hidden_size")
        if value and width and width % value:
            raise ValueError(f"{value} does not divide hidden_size {width}")
        return value

    @property
    def patch(self) -> int:
        """Side of a patch, the variant's or the given one, in latents or pixels."""
        return self.patch_size or VARIANTS[str(self.variant)][0]

    @property
    def family_paths(self) -> tuple[str, ...]:
        """Names of the noising paths that fit, the default first."""
        return tuple(find_family(self.family).paths)


def load_transformer(
    checkpoint: str | Path,
    *,
    family: str,
    num_classes: int,
    latent_size: int,
    variant: str | None = None,
    in_channels: int = 4,
    patch_size: int | None = None,
    hidden_size: int | None = None,
    depth: int | None = None,
    num_heads: int | None = None,
) -> nn.Module:
    """Build a transformer and load its weights strictly.

    Args:
        checkpoint: a file or folder, see :func:`dusa_ignite.models.weights.locate`; ``embedded`` (the weights for
            digits in the package), or ``random`` (no weights).
        family: ``repa``, ``sit``, ``dit``, or a reference to a :class:`dusa_ignite.models.guides.Family` of your own.
        num_classes: classes, without the unconditional one, >= 1.
        latent_size: side of the input, in latents (image side / 8) or, in pixel space, pixels.
        variant: ``SiT-XL/2`` and the like; or give the four sizes below, which also override a variant's.
        in_channels: 4 for latents, 3 for pixels.
        patch_size: side of a token's patch, in latents or pixels, >= 1; divides ``latent_size``.
        hidden_size: channels of a token, >= 4; a multiple of 4 and of ``num_heads``.
        depth: blocks, >= 1.
        num_heads: attention heads of a block, >= 1.

    Returns:
        The model in eval mode, in float32, all but ``y_embedder`` and ``pos_embed`` trainable.

    Raises:
        CheckpointError: the file is missing, unreadable, or its parameters do not match one by one; where they are
            those of a guide of other sizes, the message names them as options of the config.
        ValueError: unknown family or variant, or a size that is incomplete or does not divide evenly.
    """
    kind = find_family(family)
    if variant is not None and variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}; known: {', '.join(VARIANTS)}")
    preset = VARIANTS[variant] if variant else (None,) * 4
    given = (patch_size, hidden_size, depth, num_heads)
    sizes: list[Any] = [own if own is not None else default for own, default in zip(given, preset, strict=True)]
    if None in sizes:
        raise ValueError("give a variant, or all of patch_size, hidden_size, depth and num_heads")
    names = ("patch_size", "hidden_size", "depth", "num_heads")
    size = dict(zip(names, sizes, strict=True))
    if latent_size % size["patch_size"] or size["hidden_size"] % size["num_heads"] or size["hidden_size"] % 4:
        raise ValueError(f"patch_size must divide latent_size {latent_size}, num_heads and 4 hidden_size; got {size}")
    model: Any = kind.network(
        latent_size=latent_size,
        in_channels=in_channels,
        num_classes=num_classes,
        learn_sigma=kind.learns_sigma,
        **size,
    )
    if checkpoint != "random":
        source = f"transformer.checkpoint: {checkpoint}"
        weights = load_weights(
            checkpoint,
            key="transformer.checkpoint",
            embedded="transformer",
            wanted=model.state_dict(),
            dropped=kind.dropped,
        )
        try:
            load_strict(model, weights, source=source)
        except CheckpointError as error:
            line = other_sizes(weights, model, family=kind)
            raise CheckpointError(f"{source}: {line}" if line else str(error)) from None
    model.y_embedder.requires_grad_(False)
    return model.eval()
