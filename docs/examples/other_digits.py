"""The digits under eight corruptions that nothing in the package was chosen on: for choosing options.

A table should not be made on the images that its options were chosen on. Those of the digits' steady preset were chosen
here, and the tables are made on the benchmark's corruptions. It is a data set of one's own, used by reference:

    dusa-ignite compare --config digits data.name=docs/examples/other_digits.py:OtherDigits
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from dusa_ignite.data.corrupted import CorruptedDataSet
from dusa_ignite.data.digits import CLASSES, CorruptedDigits, task_half, to_uint8
from dusa_ignite.data.task import Task
from dusa_ignite.utils.seeding import derive_seed

Generator = torch.Generator


def speckle(image: torch.Tensor, std: float, generator: Generator) -> torch.Tensor:
    """Noise that grows with brightness."""
    return image + image * std * torch.randn(image.shape, generator=generator)


def occlusion(image: torch.Tensor, share: float, generator: Generator) -> torch.Tensor:
    """A black square over this share of each side, anywhere."""
    side = round(share * image.shape[-1])
    top, left = (int(torch.randint(0, image.shape[-1] - side + 1, (), generator=generator)) for _ in range(2))
    covered = image.clone()
    covered[:, top : top + side, left : left + side] = 0
    return covered


def ghost(image: torch.Tensor, share: float, generator: Generator) -> torch.Tensor:
    """Seen double: mixed half and half with itself, moved by this share of a side to a random direction."""
    angle = 2 * math.pi * float(torch.rand((), generator=generator))
    down, right = (round(share * image.shape[-1] * part) for part in (math.sin(angle), math.cos(angle)))
    border = max(abs(down), abs(right))
    padded = F.pad(image[None], (border, border, border, border), mode="replicate")[0]
    height, width = image.shape[-2:]
    return (image + padded[:, border + down :, border + right :][:, :height, :width]) / 2


def dark(image: torch.Tensor, share: float, generator: Generator) -> torch.Tensor:
    """This share of the light, and a little noise of the sensor."""
    return share * image + 0.02 * torch.randn(image.shape, generator=generator)


def haze(image: torch.Tensor, share: float, generator: Generator) -> torch.Tensor:
    """White light over everything; this share of the image is left."""
    return 1 - share * (1 - image)


def stripes(image: torch.Tensor, height: float, generator: Generator) -> torch.Tensor:
    """A wave of this height over the image, 4 to 8 pixels long, at a random angle."""
    angle, length, phase = torch.rand(3, generator=generator).tolist()
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in image.shape[-2:]), indexing="ij")
    across = x * math.cos(math.pi * angle) + y * math.sin(math.pi * angle)
    return image + height * torch.sin(2 * math.pi * (across / (4 + 4 * length) + phase))


def uneven_light(image: torch.Tensor, share: float, generator: Generator) -> torch.Tensor:
    """Light that falls off across the image, down to this share, from a random side."""
    angle = 2 * math.pi * float(torch.rand((), generator=generator))
    y, x = torch.meshgrid(*(torch.linspace(-0.5, 0.5, side) for side in image.shape[-2:]), indexing="ij")
    fall = (x * math.cos(angle) + y * math.sin(angle)) / math.sqrt(2) + 0.5
    return image * (1 - (1 - share) * fall)


def rotation(image: torch.Tensor, degrees: float, generator: Generator) -> torch.Tensor:
    """Turned by this angle to a random side; the paper goes on at the border."""
    angle = math.radians(degrees) * (1 if torch.rand((), generator=generator) < 0.5 else -1)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])
    grid = F.affine_grid(turn[None], [1, *image.shape], align_corners=False)
    return F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]


OTHERS: dict[str, tuple[Callable[[torch.Tensor, Any, Generator], torch.Tensor], tuple[Any, ...]]] = {
    "speckle": (speckle, (0.5, 0.8, 1.1, 1.5, 2.0)),
    "occlusion": (occlusion, (0.2, 0.27, 0.34, 0.4, 0.46)),
    "ghost": (ghost, (0.1, 0.14, 0.18, 0.22, 0.26)),
    "dark": (dark, (0.5, 0.35, 0.25, 0.18, 0.12)),
    "haze": (haze, (0.4, 0.3, 0.22, 0.16, 0.1)),
    "stripes": (stripes, (0.3, 0.45, 0.6, 0.75, 0.9)),
    "uneven_light": (uneven_light, (0.4, 0.25, 0.15, 0.08, 0.0)),
    "rotation": (rotation, (8, 13, 18, 23, 28)),
}
"""What each does, and how strongly at severities 1 to 5."""


class OtherDigits(CorruptedDataSet):
    """The digits' test half under each of :data:`OTHERS`; no files needed."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = tuple(OTHERS)
    all_corruptions: ClassVar[tuple[str, ...]] = tuple(OTHERS)

    num_workers: int = 0

    def tasks(self) -> list[Task]:
        """One for each corruption and severity."""
        return [Task(f"{name}/{severity}", Corrupted(name, severity), CLASSES) for name, severity in self.pairs]


class Corrupted(CorruptedDigits):
    """The same images under one of :data:`OTHERS`, alike in every run."""

    def __init__(self, name: str, severity: int) -> None:
        clean, self.labels = task_half()
        action, strengths = OTHERS[name]
        self.images = torch.empty_like(clean)
        for index, image in enumerate(clean):
            generator = Generator().manual_seed(derive_seed("other digits", name, severity, index))
            self.images[index] = to_uint8(action(image / 255, strengths[severity - 1], generator).clamp(0, 1))
