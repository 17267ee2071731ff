"""Images that lie in tars, read where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dusa_ignite.data.decoding import decode_image
from dusa_ignite.data.named_images import NamedImages
from dusa_ignite.data.tar_index import TarReader

MAX_OPEN = 64  # tars that a data set holds open in one process


class TarImages(NamedImages):
    """A map-style data set of images in one or several tars.

    Its fingerprint is that of the same images in a folder (:class:`dusa_ignite.data.files.LabelledFiles`).

    Args:
        tars: that hold them; a process opens one when it first reads from it.
        files: the images' names, relative to the task's folder within the tar.
        labels: one per image, -1 = unknown.
        places: (N, 3) int64: which tar, the offset in its tar, and the size in bytes; see
            :class:`dusa_ignite.data.tar_index.TarIndex`.
        left_out: paths of files beside these that are no images by their names.
    """

    def __init__(
        self,
        tars: Sequence[Path],
        *,
        files: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        places: np.ndarray,
        left_out: Sequence[str] = (),
    ) -> None:
        super().__init__(files=files, labels=labels, left_out=left_out)
        self.tars = list(tars)
        self.places = places
        self._open: dict[int, TarReader] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def read(self, index: int) -> torch.Tensor:
        """The image, uint8 RGB (3, H, W) in its own size.

        Raises:
            DataError: it cannot be read; the message names the tar and the image.
        """
        number, offset, size = self.places[index].tolist()
        name = self.files[index]
        content = self._reader(number).read(name, offset=offset, size=size)
        return decode_image(content, name=f"{self.tars[number]}: {name}")

    def _reader(self, number: int) -> TarReader:
        reader = self._open.get(number)
        if reader is None:
            if len(self._open) >= MAX_OPEN:
                self._open.clear()  # whoever is reading from one still holds it; it is closed when nobody does
            reader = self._open[number] = TarReader(self.tars[number])
        return reader

    def sizes(self) -> list[int]:
        """Bytes of each image file."""
        return self.places[:, 2].tolist()

    def chosen(self, positions: Sequence[int]) -> TarImages:
        """The images at some positions, as a data set of the same kind."""
        some = super().chosen(positions)
        some.places = self.places[list(positions)]
        return some
