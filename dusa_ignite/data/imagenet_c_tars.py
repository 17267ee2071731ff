"""ImageNet-C as it is distributed: tars that hold ``<corruption>/<severity>/<wnid>/*.JPEG``, read without unpacking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dusa_ignite.data.files import image_extensions
from dusa_ignite.data.tar_images import TarImages
from dusa_ignite.data.tar_index import TarIndex, images_of, tar_index
from dusa_ignite.errors import DataError

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
        self._contents: dict[Path, dict[tuple[str, str], Images]] = {}

    def find(self, corruption: str, severity: int) -> Images | None:
        """The images, in the first tar that has any; ``None`` where none has.

        Raises:
            DataError: a tar cannot be used; the message names it.
        """
        for tar in self._in_order(corruption):
            if tar not in self._contents:
                self._contents[tar] = _contents(tar_index(tar))
            found = self._contents[tar].get((corruption, str(severity)))
            if found is not None:
                return found
        return None

    def _in_order(self, corruption: str) -> Iterator[Path]:
        """The tar that holds the corruption by its name, then those whose names say nothing."""
        yield from (tar for tar in self.tars if corruption in TARS.get(tar.name, ()))
        yield from (tar for tar in self.tars if tar.name not in TARS)


def _contents(index: TarIndex) -> dict[tuple[str, str], Images]:
    """The images by corruption and severity; folders above the corruption do not matter.

    Raises:
        DataError: an image does not lie in ``<corruption>/<severity>/<wnid>``.
    """
    images: dict[tuple[str, str], list[tuple[str, int]]] = {}
    others: dict[tuple[str, str], list[str]] = {}
    known = set(images_of(index.names, image_extensions()))
    for number, name in enumerate(index.names):
        parts = name.split("/")
        if number not in known:
            others.setdefault(tuple(parts[-4:-2]), []).append(name)  # type: ignore[arg-type]
        elif len(parts) < 4:
            raise DataError(f"{index.path}: {name}: expected <corruption>/<severity>/<wnid>/*.JPEG in this tar")
        else:
            corruption, severity, wnid, file = parts[-4:]
            images.setdefault((corruption, severity), []).append((f"{wnid}/{file}", number))
    places = np.stack([index.offsets, index.sizes], axis=1)
    return {
        task: Images(
            index.path,
            [file for file, _ in sorted(found, key=_as_in_folders)],
            places[[number for _, number in sorted(found, key=_as_in_folders)]],
            others.get(task, []),
        )
        for task, found in images.items()
    }


def _as_in_folders(found: tuple[str, int]) -> list[str]:
    """Folder by folder, and by name within."""
    return found[0].split("/")
