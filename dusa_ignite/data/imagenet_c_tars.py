"""ImageNet-C as it is distributed: tars that hold ``<corruption>/<severity>/<wnid>/*.JPEG``, read without unpacking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dusa_ignite.data.files import image_extensions
from dusa_ignite.data.tar_images import TarImages
from dusa_ignite.data.tar_index import TarIndex, images_of, tar_index

TARS = {  # the files of zenodo.org/records/2235448, and what they hold; others are looked into, too
    "blur.tar": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "digital.tar": ("contrast", "elastic_transform", "jpeg_compression", "pixelate"),
    "extra.tar": ("gaussian_blur", "saturate", "spatter", "speckle_noise"),
    "noise.tar": ("gaussian_noise", "impulse_noise", "shot_noise"),
    "weather.tar": ("brightness", "fog", "frost", "snow"),
}


class Images(NamedTuple):
    """The images of one corruption and severity within a tar.

    Attributes:
        tar: that holds them.
        files: ``<wnid>/<image>``, sorted as those of a folder are.
        places: (N, 2) int64: offset and size of each.
        others: names of files in the same folder that are no images by their names.
    """

    tar: Path
    files: list[str]
    places: np.ndarray
    others: list[str]

    def labelled(self, label_of: dict[str, int]) -> TarImages:
        """The data set; ``label_of`` has the label of every wnid."""
        labels = [label_of[file.partition("/")[0]] for file in self.files]
        places = np.insert(self.places, 0, 0, axis=1)
        left_out = [f"{self.tar}: {name}" for name in self.others]
        return TarImages([self.tar], files=self.files, labels=labels, places=places, left_out=left_out)


class CorruptionTars:
    """The tars of a folder; each is looked into when it is first needed.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.tars = sorted(path for path in root.glob("*.tar") if not path.name.startswith("."))
        self._contents: dict[Path, Contents] = {}
        self._found: dict[tuple[str, int], Images] = {}

    def find(self, corruption: str, severity: int) -> Images | None:
        """The images, in the first tar that has any; ``None`` where none has.

        Raises:
            DataError: a tar cannot be used; the message names it.
        """
        if (corruption, severity) not in self._found:
            for tar in self._in_order(corruption):
                if tar not in self._contents:
                    self._contents[tar] = _contents(tar_index(tar))
                index, numbers = self._contents[tar]
                images = _images(index, numbers.get((corruption, str(severity)), []))
                if images.files:
                    self._found[corruption, severity] = images
                    break
        return self._found.get((corruption, severity))

    def _in_order(self, corruption: str) -> Iterator[Path]:
        """The tar that holds the corruption by its name, then those whose names say nothing."""
        yield from (tar for tar in self.tars if corruption in TARS.get(tar.name, ()))
        yield from (tar for tar in self.tars if tar.name not in TARS)


class Contents(NamedTuple):
    """A tar's index, and the positions in it of the files of each corruption and severity."""

    files: TarIndex
    numbers: dict[tuple[str, str], list[int]]


def _contents(index: TarIndex) -> Contents:
    """Folders above the corruption, and whatever does not lie in such folders, do not matter."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for number, name in enumerate(index.names):
        parts = name.rsplit("/", 3)
        if len(parts) == 4:
            numbers.setdefault((parts[0].rpartition("/")[2], parts[1]), []).append(number)
    return Contents(index, numbers)


def _images(index: TarIndex, numbers: list[int]) -> Images:
    """The images among some files, in the order of folders: folder by folder, and by name within."""
    known = {numbers[k] for k in images_of([index.names[number] for number in numbers], image_extensions())}
    wnid_and_file = {tuple(index.names[number].rsplit("/", 2)[1:]): number for number in numbers if number in known}
    ordered = sorted(wnid_and_file)  # of two files of one name the last counts, as when a tar is unpacked
    chosen = [wnid_and_file[key] for key in ordered]
    return Images(
        index.path,
        ["/".join(key) for key in ordered],
        np.stack([index.offsets[chosen], index.sizes[chosen]], axis=1),
        [index.names[number] for number in numbers if number not in known],
    )
