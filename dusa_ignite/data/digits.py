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
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from dusa_ignite.data.corruption_names import DIGITS_CORRUPTIONS
from dusa_ignite.data.corruptions import corrupt
from dusa_ignite.data.stream import Task
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.utils.seeding import derive_seed

IMAGE_SIZE = 32
CLASSES = tuple("0123456789")
VALIDATION_STEP = 6


class CorruptedDigits:
    """The test half under one corruption: a fixed data set, whatever the run's seed.

    What is random in a corruption depends on (corruption, severity, image index) alone, as if the corrupted images lay
    on disk like ImageNet-C's.

    Args:
        corruption: a name of ``DIGITS_CORRUPTIONS``.
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


def digits_tasks(*, corruptions: str | Sequence[str], severities: Sequence[int]) -> list[Task]:
    """The test half under each corruption at each severity, corruption by corruption.

    Args:
        corruptions: ``"benchmark"`` or ``"all"`` (all eight), or a list of names.
        severities: out of 1 (mild) .. 5 (strong).

    Returns:
        Tasks named like ``"gaussian_noise/5"``.

    Raises:
        ConfigError: a corruption or a severity does not exist.
        DataError: scikit-learn is missing.
    """
    names = DIGITS_CORRUPTIONS if corruptions in ("benchmark", "all") else corruptions
    names = [names] if isinstance(names, str) else names
    for name in names:
        if name not in DIGITS_CORRUPTIONS:
            raise ConfigError(f"digits have no corruption {name!r}; choose from {', '.join(DIGITS_CORRUPTIONS)}")
    for severity in severities:
        if severity not in range(1, 6):
            raise ConfigError(f"digits have no severity {severity!r}; choose from 1, 2, 3, 4, 5")
    return [
        Task(f"{name}/{severity}", CorruptedDigits(name, severity), CLASSES)
        for name in names
        for severity in severities
    ]


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
