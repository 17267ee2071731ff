"""Images in folders: listing them, and reading them as labelled uint8 RGB tensors."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from dusa_ignite.errors import DataError
from dusa_ignite.utils.paths import expanded

# Pillow knows these by their first bytes, but cannot decode them itself.
NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})

# Listing folders and asking for file sizes is waiting on the disk or the network: threads hide the latency.
IO_THREADS = 16


class Listing(NamedTuple):
    """What one folder holds, by name in sorted order: sub-folders, image files, and files that are no images by name.

    Hidden entries (``.name``) are in none of them.
    """

    path: Path
    folders: list[str]
    images: list[str]
    others: list[str]


class LabelledFiles:
    """A map-style data set of image files.

    Args:
        root: the folder that ``files`` are relative to.
        files: paths relative to ``root``, with forward slashes.
        labels: one per file, -1 = unknown.
        left_out: paths of files beside these that are no images by their names; they are reported, see
            :func:`left_out_line`.
    """

    def __init__(
        self, root: str | Path, *, files: Sequence[str], labels: Sequence[int], left_out: Sequence[str] = ()
    ) -> None:
        if len(files) != len(labels):
            raise ValueError(f"{len(files)} files, but {len(labels)} labels")
        self.root = Path(root)
        self.files = list(files)
        self.labels = np.asarray(labels, dtype=np.int64)
        self.left_out = list(left_out)
        self._fingerprint = ""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """The image, uint8 RGB (3, H, W) in its own size, and its label.

        Raises:
            DataError: the image cannot be read; the message names its path.
        """
        return read_image(self.root / self.files[index]), int(self.labels[index])

    def fingerprint(self) -> str:
        """SHA-256 over every file's relative path, size and label; the same wherever ``root`` lies.

        It asks for the size of every file, so it is computed when first wanted and then kept.
        """
        if not self._fingerprint:
            digest = hashlib.sha256()
            paths = [os.path.join(self.root, file) for file in self.files]
            with ThreadPoolExecutor(IO_THREADS) as pool:
                chunks = pool.map(_sizes, [paths[start : start + 1000] for start in range(0, len(paths), 1000)])
                sizes = [size for chunk in chunks for size in chunk]
            for file, size, label in zip(self.files, sizes, self.labels.tolist(), strict=True):
                digest.update(os.fsencode(file) + f"\0{size}\0{label}\n".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def read_image(path: str | Path) -> torch.Tensor:
    """Decode one image file completely.

    The image is turned upright as its EXIF orientation says and brought to 8-bit RGB: greyscale is repeated over the
    channels, 16-bit greyscale is scaled so that 65535 becomes 255, of 16-bit colour Pillow takes the upper 8 bits,
    transparent parts (alpha) lie on white, CMYK and palettes are converted, and of an animation the first frame is
    taken. (The files of ImageNet-C carry no orientation.)

    Args:
        path: the file; its format is told from its content, not from its name.

    Returns:
        uint8 RGB (3, H, W).

    Raises:
        DataError: the file is missing, empty, truncated, no image, or has 32 bits per channel (whose white is unknown).
    """
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _to_rgb(image)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # on damaged bytes Pillow's decoders raise almost any type
        raise DataError(f"{path}: cannot read this image ({_reason(path, error)})") from error
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()


def existing_folder(path: str | Path, *, expected: str, key: str = "data.root") -> Path:
    """``path`` (``~`` allowed) as a folder that exists.

    Args:
        path: the folder.
        expected: for the error message, what should stand there.
        key: likewise, the option that names it.

    Raises:
        DataError: there is nothing at ``path``, or a file.
    """
    folder = expanded(path)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder; {key} must name {expected}")
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; {key} must name {expected}")
    return folder


@cache
def image_extensions() -> frozenset[str]:
    """The extensions, in lower case with their dot, of all formats that Pillow decodes, plug-ins of others included.

    Formats that it only tells by name (HDF5, GRIB, MPEG, ...) or hands to other programs (EPS, WMF) are not among them.
    """
    Image.init()
    decoded = Image.OPEN.keys() - NOT_DECODED
    found = {extension.lower() for extension, name in Image.registered_extensions().items() if name in decoded}
    return frozenset({*found, ".mpo"})  # a JPEG with further images behind the first


def scan_folder(folder: str | Path) -> Listing:
    """The sub-folders and image files of one folder, in one pass and without a stat per file.

    A link that leads nowhere counts as an image if it is named like one, so that reading it fails instead of the image
    going missing quietly. Which names are those of images, see :func:`image_extensions`.

    Raises:
        DataError: the folder cannot be listed.
    """
    folders, images, others = [], [], []
    extensions = image_extensions()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif os.path.splitext(entry.name)[1].lower() in extensions:
                    images.append(entry.name)
                else:
                    others.append(entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot list this folder ({error.strerror})") from error
    return Listing(Path(folder), sorted(folders), sorted(images), sorted(others))


def scan_folders(folders: Iterable[str | Path]) -> list[Listing]:
    """:func:`scan_folder` of each, several at a time, in the order given."""
    with ThreadPoolExecutor(IO_THREADS) as pool:
        return list(pool.map(scan_folder, folders))


def labelled_files(root: str | Path, class_folders: Sequence[Listing], *, label_of: dict[str, int]) -> LabelledFiles:
    """The images of a task's class folders ``<root>/<class>/*``, folder by folder.

    Args:
        root: the task's folder.
        class_folders: the listing of each class folder.
        label_of: the label of every class folder's name.
    """
    files = [f"{folder.path.name}/{image}" for folder in class_folders for image in folder.images]
    labels = [label_of[folder.path.name] for folder in class_folders for _ in folder.images]
    left_out = [str(folder.path / name) for folder in class_folders for name in folder.others]
    return LabelledFiles(root, files=files, labels=labels, left_out=left_out)


def left_out_line(paths: Sequence[str], *, examples: int = 3) -> str:
    """``left out 3 files that are no images by their names (2 .txt, 1 without extension), such as a, b, c``.

    Args:
        paths: of the files, at least one.
        examples: how many of them are named.
    """
    kinds = Counter(os.path.splitext(path)[1].lower() or "without extension" for path in paths)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    files = "file that is no image by its name" if len(paths) == 1 else "files that are no images by their names"
    more = ", ..." if len(paths) > examples else ""
    return f"left out {len(paths)} {files} ({counts}), such as {', '.join(paths[:examples])}{more}"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise DataError(f"{getattr(image, 'filename', '')}: has 32 bits per channel; save it with 8 or 16")
    if image.mode.startswith("I;16"):
        # Pillow would clip at 255. (v + 128) // 257 is v * 255 / 65535, rounded.
        eight_bit = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(eight_bit.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _reason(path: str | Path, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "the file is empty" if os.path.getsize(path) == 0 else "not an image, or of an unknown format"
    return " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__


def _sizes(paths: list[str]) -> list[int]:
    return [_size(path) for path in paths]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1  # named when it is read, where the caller decides whether to stop or to leave it out
