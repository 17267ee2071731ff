"""Real handwritten digits for the demo: small enough to ship, to learn and to adapt to on a CPU.

scikit-learn's ``load_digits`` holds 1,797 scans of 8 x 8 pixels with 17 grey levels (the test part of "Optical
Recognition of Handwritten Digits", Alpaydin & Kaynak, UCI 1998). Here they are dark ink on white paper, as on the forms
they come from, enlarged to 32 x 32 RGB.

The split is fixed and needs no random numbers: sorted by class (and by position within a class), every second scan
belongs to the clean half (899, for training), the others to the test half (898, for tasks), so both hold the same
share of every class. Of the clean half every sixth scan (149) is for validation.
"""

from __future__ import annotations

import functools
import hashlib
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from dusa_ignite.data.corrupted import CorruptedDataSet
from dusa_ignite.data.corruptions import CORRUPTIONS, corrupt
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.seeding import derive_seed

IMAGE_SIZE = 32
CLASSES = tuple("0123456789")
VALIDATION_STEP = 6


class Digits(CorruptedDataSet):
    """scikit-learn's handwritten digits under eight corruptions; no files needed."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = tuple(CORRUPTIONS)
    all_corruptions: ClassVar[tuple[str, ...]] = tuple(CORRUPTIONS)

    name: Literal["digits"] = "digits"
    num_workers: int = Field(
        default=0, ge=0, le=512, description="loader processes, >= 0; 0 = load in the main process"
    )

    def tasks(self) -> list[Task]:
        """The test half under each of :attr:`pairs`.

        Raises:
            DataError: scikit-learn is missing.
        """
        return [
            Task(f"{corruption}/{severity}", CorruptedDigits(corruption, severity), CLASSES)
            for corruption, severity in self.pairs
        ]


class CorruptedDigits:
    """The test half under one corruption: a fixed data set, whatever the run's seed.

    What is random in a corruption depends on (corruption, severity, image index) alone, as if the corrupted images lay
    on disk like ImageNet-C's.

    Args:
        corruption: a key of :data:`dusa_ignite.data.corruptions.CORRUPTIONS`.
        severity: 1 (mild) .. 5 (strong).

    Raises:
        DataError: scikit-learn is missing.
    """

    def __init__(self, corruption: str, severity: int) -> None:
        clean, self.labels = task_half()
        self.images = torch.empty_like(clean)
        for index, image in enumerate(clean):
            generator = torch.Generator().manual_seed(derive_seed("digits", corruption, severity, index))
            corrupted = corrupt(image / 255, corruption=corruption, severity=severity, generator=generator)
            self.images[index] = to_uint8(corrupted)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """The image, uint8 RGB (3, 32, 32), and the digit it shows."""
        return self.images[index], int(self.labels[index])

    def fingerprint(self) -> str:
        """SHA-256 of all pixels and labels."""
        return hashlib.sha256(self.images.numpy().tobytes() + self.labels.numpy().tobytes()).hexdigest()


def clean_half() -> tuple[torch.Tensor, torch.Tensor]:
    """The 899 scans for training: images uint8 (899, 3, 32, 32), labels int64 (899,), sorted by label.

    Raises:
        DataError: scikit-learn is missing.
    """
    images, labels = _all_digits()
    return images[0::2].clone(), labels[0::2].clone()


def task_half() -> tuple[torch.Tensor, torch.Tensor]:
    """The 898 scans for tasks, uncorrupted: images uint8 (898, 3, 32, 32), labels int64 (898,), sorted by label.

    Raises:
        DataError: scikit-learn is missing.
    """
    images, labels = _all_digits()
    return images[1::2].clone(), labels[1::2].clone()


def validation_mask(count: int) -> torch.Tensor:
    """(count,) bool: which images of the clean half are held out of training."""
    return torch.arange(count) % VALIDATION_STEP == VALIDATION_STEP - 1


def to_uint8(image: torch.Tensor) -> torch.Tensor:
    """Values in [0, 1] as the nearest of 0 .. 255."""
    return (image * 255).round().clamp(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=1)
def _all_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """All scans, sorted by label: uint8 (1797, 3, 32, 32) and int64 (1797,)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("data.name=digits needs scikit-learn: pip install 'dusa_ignite[demo]'") from error
    scans, labels = load_digits(return_X_y=True)
    order = labels.argsort(kind="stable")
    ink = torch.from_numpy(scans[order]).float().reshape(-1, 1, 8, 8) / 16
    paper = F.interpolate(1 - ink, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", align_corners=False)
    return to_uint8(paper).expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(labels[order]).long()
