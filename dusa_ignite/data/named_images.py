"""Labelled images that have names: the paths that lists of files, messages and predictions call them by."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch

Images = TypeVar("Images", bound="NamedImages")


class NamedImages:
    """A map-style data set of images with names; a subclass says how an image is read, and of how many bytes it is.

    Args:
        files: the images' names: paths relative to the task's folder, with forward slashes, whatever they lie in.
        labels: one per image, -1 = unknown.
        left_out: paths of files beside these that are no images by their names.

    Attributes:
        files: as given.
        labels: (N,) int64.
        left_out: as given.
    """

    def __init__(
        self, *, files: Sequence[str], labels: Sequence[int] | np.ndarray, left_out: Sequence[str] = ()
    ) -> None:
        if len(files) != len(labels):
            raise ValueError(f"{len(files)} files, but {len(labels)} labels")
        self.files = list(files)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.left_out = list(left_out)
        self._fingerprint = ""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """The image, uint8 RGB (3, H, W) in its own size, and its label.

        Raises:
            DataError: the image cannot be read; the message names it.
        """
        return self.read(index), int(self.labels[index])

    def read(self, index: int) -> torch.Tensor:
        """The image, uint8 RGB (3, H, W) in its own size.

        Raises:
            DataError: the image cannot be read; the message names it.
        """
        raise NotImplementedError

    def sizes(self) -> list[int]:
        """Bytes of each encoded image, -1 for one that is missing."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """SHA-256 over every image's name, size in bytes and label; the same wherever, and in whatever, they lie.

        It is computed when first wanted and then kept.
        """
        if not self._fingerprint:
            digest = hashlib.sha256()
            for file, size, label in zip(self.files, self.sizes(), self.labels.tolist(), strict=True):
                digest.update(os.fsencode(file) + f"\0{size}\0{label}\n".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def chosen(self: Images, positions: Sequence[int]) -> Images:
        """The images at some positions, as a data set of the same kind.

        A subclass that keeps more per image cuts that, too.
        """
        some = copy.copy(self)
        some.files = [self.files[position] for position in positions]
        some.labels = self.labels[list(positions)]
        some._fingerprint = ""
        return some
