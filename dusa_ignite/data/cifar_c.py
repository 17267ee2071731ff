"""What CIFAR-10-C and CIFAR-100-C share: NumPy files with five severities of the test images, one under the other.

D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
ICLR 2019; the files are those of zenodo.org/records/2535967 and 3555552.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from dusa_ignite.data.corrupted import ALL_CORRUPTIONS, BENCHMARK_CORRUPTIONS, SEVERITIES, CorruptedDataSet
from dusa_ignite.data.files import existing_folder
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.section import PathText

LABELS = "labels.npy"


class CifarC(CorruptedDataSet):
    """A folder of ``<corruption>.npy`` and ``labels.npy``: a task per corruption and severity."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = BENCHMARK_CORRUPTIONS
    all_corruptions: ClassVar[tuple[str, ...]] = ALL_CORRUPTIONS
    class_names: ClassVar[tuple[str, ...]]
    """In the order of the labels."""

    root: PathText = Field(min_length=1, description="folder of <corruption>.npy and labels.npy")

    def tasks(self) -> list[Task]:
        """A task for each of :attr:`pairs`; of a file's N images, the k-th fifth has severity k.

        Raises:
            DataError: a file is missing, truncated, or not what it should be.
        """
        folder = existing_folder(self.root, expected=f"the folder that holds <corruption>.npy and {LABELS}")
        labels = self._labels(folder)
        return [
            Task(f"{corruption}/{severity}", _images(folder, corruption, severity, labels), self.class_names)
            for corruption, severity in self.pairs
        ]

    def _labels(self, folder: Path) -> np.ndarray:
        """(N,) of all severities."""
        labels = _load(folder / LABELS, "data.root must hold it beside <corruption>.npy")
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) % len(SEVERITIES) or not len(labels):
            raise DataError(
                f"{folder / LABELS}: holds {labels.dtype} {labels.shape}; expected integers, for five severities one "
                "after the other: (50000,)"
            )
        if labels.min() < 0 or labels.max() >= len(self.class_names):
            raise DataError(
                f"{folder / LABELS}: labels from {labels.min()} to {labels.max()}; {self.name} has 0 to "
                f"{len(self.class_names) - 1}"
            )
        return np.array(labels, dtype=np.int64)


class NpyImages:
    """A map-style data set of consecutive images in a NumPy file, mapped into memory; loader processes map it again.

    Args:
        path: of the file, uint8 (N, H, W, 3).
        start: the first image's position in it.
        labels: (n,) int64 of the images.

    Raises:
        DataError: the file is missing, truncated or of another type.
    """

    def __init__(self, path: Path, start: int, labels: np.ndarray) -> None:
        self.path = path
        self.start = start
        self.labels = labels
        pixels = _load(path, "data.root must hold it, or leave it out of data.corruptions")
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
            raise DataError(f"{path}: holds {pixels.dtype} {pixels.shape}; expected uint8 (50000, 32, 32, 3)")
        self.total = len(pixels)
        self.pixels = pixels[start : start + len(labels)]

    def __reduce__(self) -> tuple[type[NpyImages], tuple[Path, int, np.ndarray]]:
        return NpyImages, (self.path, self.start, self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """The image, uint8 RGB (3, H, W), and its label."""
        pixels = np.ascontiguousarray(self.pixels[index].transpose(2, 0, 1))
        return torch.from_numpy(pixels), int(self.labels[index])

    def fingerprint(self) -> str:
        """SHA-256 of all pixels and labels."""
        digest = hashlib.sha256(self.labels.tobytes())
        for start in range(0, len(self.pixels), 1000):
            digest.update(self.pixels[start : start + 1000].tobytes())
        return digest.hexdigest()


def _images(folder: Path, corruption: str, severity: int, labels: np.ndarray) -> NpyImages:
    count = len(labels) // len(SEVERITIES)
    start = (severity - 1) * count
    images = NpyImages(folder / f"{corruption}.npy", start, labels[start : start + count])
    if images.total != len(labels):
        raise DataError(
            f"{images.path}: holds {images.total} images, but {LABELS} {len(labels)} labels; fetch it again"
        )
    return images


def _load(path: Path, remedy: str) -> np.ndarray:
    """The array, mapped into memory."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; {remedy}")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: is truncated or no NumPy file ({error}); fetch it again") from error
