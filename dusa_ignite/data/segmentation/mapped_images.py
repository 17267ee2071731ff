"""Images with a label map each, or without any: the data set behind every task of segmentation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from dusa_ignite.data.decoding import read_image
from dusa_ignite.data.named_images import NamedImages
from dusa_ignite.data.segmentation.label_maps import UNKNOWN, read_label_map
from dusa_ignite.errors import DataError

RATIO = 0.02  # by how much the ratios of an image's and its map's sides may differ; both are whole numbers of pixels


class MappedImages(NamedImages):
    """A map-style data set of image files and their label maps; sizes differ from image to image.

    Args:
        root: the folder that ``files`` are relative to.
        files: paths relative to ``root``, with forward slashes.
        maps: the path of each image's label map; ``None`` = no image has one.
        num_classes: C.
        zero_is_unknown: see :func:`dusa_ignite.data.segmentation.label_maps.read_label_map`.
        left_out: see :class:`dusa_ignite.data.named_images.NamedImages`.

    Attributes:
        labels: (N,) int64, all -1: no image has a label as a whole.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        files: Sequence[str],
        maps: Sequence[str | Path] | None,
        num_classes: int,
        zero_is_unknown: bool = False,
        left_out: Sequence[str] = (),
    ) -> None:
        super().__init__(files=files, labels=[-1] * len(files), left_out=left_out)
        if maps is not None and len(maps) != len(files):
            raise ValueError(f"{len(files)} files, but {len(maps)} label maps")
        self.root = Path(root)
        self.maps = None if maps is None else [Path(path) for path in maps]
        self.num_classes = num_classes
        self.zero_is_unknown = zero_is_unknown

    @property
    def has_label_maps(self) -> bool:
        """Whether every image has one, or none."""
        return self.maps is not None

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """The image, uint8 RGB (3, H, W), and its label map (H, W) int64, 255 = unknown.

        Without label maps all of (H, W) is unknown. The map may have another size than the image, as long as the ratio
        of the sides is the same: predictions are scored at the map's size.

        Raises:
            DataError: one of the two cannot be read, or the sides' ratios differ; the message names the file.
        """
        image = self.read(index)
        height, width = image.shape[-2:]
        if self.maps is None:
            return image, torch.full((height, width), UNKNOWN, dtype=torch.int64)
        path = self.maps[index]
        labels = read_label_map(path, num_classes=self.num_classes, zero_is_unknown=self.zero_is_unknown)
        if abs(width * labels.shape[0] / (height * labels.shape[1]) - 1) > RATIO:
            raise DataError(
                f"{path}: {labels.shape[1]} x {labels.shape[0]} pixels, but its image {self.files[index]} has "
                f"{width} x {height}, of another ratio; they do not belong together, or one of them is turned"
            )
        return image, labels

    def read(self, index: int) -> torch.Tensor:
        """The image, uint8 RGB (3, H, W) in its own size.

        Raises:
            DataError: it cannot be read.
        """
        return read_image(self.root / self.files[index])

    def sizes(self) -> list[int]:
        """Bytes of each image file, -1 for one that is missing."""
        return [_bytes(self.root / file) for file in self.files]

    def fingerprint(self) -> str:
        """SHA-256 over the images' (see :meth:`NamedImages.fingerprint`) and the label maps' sizes in bytes."""
        if not self._fingerprint:
            images = super().fingerprint()
            maps = None if self.maps is None else [_bytes(path) for path in self.maps]
            text = f"{images} {maps} {self.num_classes} {self.zero_is_unknown}"
            self._fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return self._fingerprint

    def chosen(self, positions: Sequence[int]) -> MappedImages:
        """The images at some positions, with their maps."""
        some = super().chosen(positions)
        some.maps = None if self.maps is None else [self.maps[position] for position in positions]
        return some


def _bytes(path: Path) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
