"""What a task is: a name, labelled images, and the names of their classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

ProblemName = Literal["classification", "segmentation"]
"""What is predicted: one class per image, or one per pixel."""

Images = torch.Tensor | list[torch.Tensor]
"""uint8 0 .. 255 or float 0 .. 1, RGB or grey: one tensor (B, C, H, W), or a list of (C, H, W) where they differ."""


class LabelledImages(Protocol):
    """A map-style data set of labelled images; it travels to loader processes, so it must pickle."""

    @property
    def labels(self) -> np.ndarray | torch.Tensor:
        """(N,) int64, -1 = unknown; so are all of them in segmentation, where no image has a label as a whole.

        There, a data set whose images have label maps says so by a further attribute, ``has_label_maps = True``.
        """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        """The image and its label (-1 = unknown); in segmentation its label map (H, W) int64 (255 = unknown).

        The image is RGB (3, H, W), or grey (1, H, W): uint8 in 0 .. 255, or float in 0 .. 1 as torchvision's
        ``ToTensor`` makes it; see :func:`dusa_ignite.data.pixels.what_is_wrong`.

        Raises:
            DataError: the image cannot be read; the message names its path.
        """

    def fingerprint(self) -> str:
        """A SHA-256 that changes when the content does."""


def has_label_maps(dataset: LabelledImages) -> bool:
    """Whether images have label maps, as the data set says; one that says nothing has none."""
    return bool(getattr(dataset, "has_label_maps", False))


def is_labelled(dataset: LabelledImages) -> bool:
    """Whether any image has a label, as a whole or pixel by pixel."""
    return has_label_maps(dataset) or bool((np.asarray(dataset.labels) >= 0).any())


@dataclass(frozen=True)
class Task:
    """One distribution to adapt to, such as one corruption at one severity.

    Attributes:
        name: unique within a stream (``"gaussian_noise/5"``); it keys the task's randomness.
        dataset: the task's images.
        classes: class names; the position is the label. Empty where no image has a label and nothing names them.
    """

    name: str
    dataset: LabelledImages
    classes: tuple[str, ...]
