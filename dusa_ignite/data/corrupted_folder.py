"""Clean images in folders, corrupted as they are read: a shift to rehearse with, before the real one comes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from dusa_ignite.data.corrupted import CorruptedDataSet
from dusa_ignite.data.corruptions import CORRUPTIONS, corrupt, photograph_strengths
from dusa_ignite.data.digits import to_uint8
from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.data.image_folder import image_folder_tasks
from dusa_ignite.data.named_classes import NamedClasses
from dusa_ignite.data.named_images import NamedImages
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.section import PathText
from dusa_ignite.utils.seeding import derive_seed

VERSION = 1  # of the corruptions and their strengths: a change of pixels is a change of the data


class CorruptedFolder(CorruptedDataSet, NamedClasses):
    """Clean images in folders under eight corruptions of our own, which are not ImageNet-C's."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = tuple(CORRUPTIONS)
    all_corruptions: ClassVar[tuple[str, ...]] = tuple(CORRUPTIONS)

    name: Literal["corrupted_folder"] = "corrupted_folder"
    root: PathText = Field(min_length=1, description="folder of clean images, <class>/* or without labels *")
    shorter_side: int = Field(
        default=256, ge=8, le=4096, description="pixels; larger images are brought to it before they are corrupted"
    )

    def tasks(self) -> list[Task]:
        """The folder's images under each of :attr:`pairs`.

        Raises:
            DataError: the folder or the classes' file cannot be used, or the folder holds several tasks.
        """
        clean = image_folder_tasks(self.root, classes=self.class_names())
        if len(clean) > 1:
            raise DataError(
                f"{self.root}: data.name=corrupted_folder needs the images of one task, <class>/<image>, and here are "
                f"{len(clean)}: set data.root to one of its folders, such as {clean[0].name}"
            )
        (task,) = clean
        assert isinstance(task.dataset, LabelledFiles)
        return [
            Task(
                f"{corruption}/{severity}",
                CorruptedImages(task.dataset, corruption=corruption, severity=severity, shorter_side=self.shorter_side),
                task.classes,
            )
            for corruption, severity in self.pairs
        ]


class CorruptedImages(NamedImages):
    """A data set of images under one corruption: fixed, whatever the run's seed.

    What is random depends on (corruption, severity, position in ``clean``) alone, as if the images lay on disk.

    Args:
        clean: the images.
        corruption: a key of :data:`dusa_ignite.data.corruptions.CORRUPTIONS`.
        severity: 1 (mild) .. 5 (strong), of :data:`dusa_ignite.data.corruptions.PHOTOGRAPHS`.
        shorter_side: pixels; larger images are brought to it first.
    """

    def __init__(self, clean: NamedImages, *, corruption: str, severity: int, shorter_side: int) -> None:
        super().__init__(files=clean.files, labels=clean.labels, left_out=clean.left_out)
        self.clean = clean
        self.corruption = corruption
        self.severity = severity
        self.shorter_side = shorter_side
        self.positions = list(range(len(clean)))

    def read(self, index: int) -> torch.Tensor:
        """The corrupted image, uint8 RGB (3, H, W).

        Raises:
            DataError: the clean image cannot be read.
        """
        position = self.positions[index]
        image = at_most(self.clean.read(position), self.shorter_side)
        seed = derive_seed("corrupted_folder", self.corruption, self.severity, position)
        corrupted = corrupt(
            image / 255,
            corruption=self.corruption,
            severity=self.severity,
            generator=torch.Generator().manual_seed(seed),
            strengths=photograph_strengths(*image.shape[-2:]),
        )
        return to_uint8(corrupted)

    def fingerprint(self) -> str:
        """SHA-256 of what makes the pixels: the clean images, which of them, and what is done to them."""
        made_of = (self.clean.fingerprint(), self.positions, self.corruption, self.severity, self.shorter_side, VERSION)
        return hashlib.sha256(repr(made_of).encode()).hexdigest()

    def chosen(self, positions: Sequence[int]) -> CorruptedImages:
        """The images at some positions, each as it was."""
        some = super().chosen(positions)
        some.positions = [self.positions[position] for position in positions]
        return some


def at_most(image: torch.Tensor, shorter_side: int) -> torch.Tensor:
    """A uint8 image (3, H, W) whose shorter side is at most this many pixels; a smaller one stays as it is."""
    height, width = image.shape[-2:]
    scale = shorter_side / min(height, width)
    if scale >= 1:
        return image
    size = (max(shorter_side, round(height * scale)), max(shorter_side, round(width * scale)))
    return to_uint8(F.interpolate(image[None] / 255, size=size, mode="bicubic", antialias=True)[0])
