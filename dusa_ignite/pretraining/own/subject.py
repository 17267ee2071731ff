"""What the training loop knows of the thing that is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn


class Subject(Protocol):
    """A guide or a classifier with its images.

    Attributes:
        model: what learns.
        origins: what a training must not go on without: hashes of data and weights, as plain JSON.
        count: training images.
        classes: their names, in the order of the labels.
    """

    model: nn.Module
    origins: dict[str, Any]
    count: int
    classes: tuple[str, ...]

    def load(self, indices: list[int], generators: list[torch.Generator]) -> dict[str, Any]:
        """A batch of these training images, augmented; each draws from its own generator."""
        ...

    def losses(self, batch: dict[str, Any]) -> torch.Tensor:
        """(B,) losses of a batch that is on the model's device, through ``model``."""
        ...

    def measure(self, average: nn.Module, update: int, folder: Path) -> dict[str, Any]:
        """How good the averaged model is on held-out images, as plain JSON; all processes call it."""
        ...

    def pictures(self, update: int, folder: Path) -> dict[str, Path]:
        """What :meth:`measure` has drawn, by what it shows; a picture that could not be made is missing."""
        ...

    def write(self, average: nn.Module, measured: dict[str, Any], folder: Path) -> None:
        """Write the averaged model, and how it is used."""
        ...
