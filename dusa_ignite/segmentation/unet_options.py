"""The config's section ``unet``: what guides segmentation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dusa_ignite.segmentation.prompts import PLACE, PROMPT
from dusa_ignite.utils.section import PathText, Section


class UnetOptions(Section):
    """Stable Diffusion's UNet, with a ControlNet or without, which is told the classes in words."""

    pretrained: PathText = Field(
        min_length=1, description="folder or hub id of the shape of Stable Diffusion 1.x, or embedded (the canvases')"
    )
    controlnet: PathText | None = Field(
        default=None, min_length=1, description="folder or hub id of its ControlNet, shown an empty image; null = none"
    )
    prompt: str = Field(default=PROMPT, description="sentence for a class, with {class} in it")
    trainable: bool = Field(default=True, description="whether UNet and ControlNet learn too")
    activation_checkpointing: Literal["none", "blocks"] = Field(
        default="none",
        description="blocks = keep the input of each block alone and compute the rest again on the way back",
    )

    @field_validator("prompt")
    @classmethod
    def _names_the_class(cls, value: str) -> str:
        if PLACE not in value:
            raise ValueError(f"{value!r} has no {PLACE} in it, so all classes would be the same")
        return value
