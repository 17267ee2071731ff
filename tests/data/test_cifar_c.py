"""CIFAR-10-C and CIFAR-100-C: which images are which severity, and files that are not what they should be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dusa_ignite.data import Cifar10C, Cifar100C
from dusa_ignite.data.imagenet_c import ALL_CORRUPTIONS
from dusa_ignite.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images per severity; all pixels of an image are its number in the file."""
    for corruption in ALL_CORRUPTIONS:
        numbers = np.arange(15, dtype=np.uint8)[:, None, None, None]
        np.save(tmp_path / f"{corruption}.npy", np.broadcast_to(numbers, (15, 32, 32, 3)))
    np.save(tmp_path / "labels.npy", np.array([7, 0, 9] * 5, dtype=np.uint8))
    return tmp_path


def message(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        Cifar10C(root=str(root), **{"corruptions": ("fog",)} | options).tasks()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_classes() -> None:
    assert Cifar10C.class_names[3] == "cat"
    assert len(Cifar10C.class_names) == 10
    assert len(set(Cifar100C.class_names)) == 100
    assert list(Cifar100C.class_names) == sorted(Cifar100C.class_names)
    assert [Cifar100C.class_names[label] for label in (0, 49, 99)] == ["apple", "mountain", "worm"]


def test_a_fifth_of_the_file_per_severity(root: Path) -> None:
    tasks = Cifar100C(root=str(root), corruptions="benchmark", severities=(5, 1)).tasks()
    assert len(tasks) == 30
    assert [task.name for task in tasks[:3]] == ["gaussian_noise/5", "gaussian_noise/1", "shot_noise/5"]
    assert [int(image[0, 0, 0]) for image, _ in (tasks[0].dataset[k] for k in range(3))] == [12, 13, 14]
    assert [int(image[0, 0, 0]) for image, _ in (tasks[1].dataset[k] for k in range(3))] == [0, 1, 2]
    assert [tasks[0].dataset[k][1] for k in range(3)] == [7, 0, 9]
    image, _ = tasks[0].dataset[0]
    assert (image.shape, str(image.dtype)) == ((3, 32, 32), "torch.uint8")


def test_fingerprints_change_with_pixels_and_labels(root: Path) -> None:
    def fingerprint() -> str:
        return Cifar10C(root=str(root), corruptions=("fog",)).tasks()[0].dataset.fingerprint()

    first = fingerprint()
    assert first == fingerprint()
    pixels = np.load(root / "fog.npy")
    pixels[0] += 1  # of severity 1
    np.save(root / "fog.npy", pixels)
    assert fingerprint() == first
    pixels[14] += 1
    np.save(root / "fog.npy", pixels)
    second = fingerprint()
    assert second != first
    np.save(root / "labels.npy", np.array([7, 0, 8] * 5))
    assert fingerprint() not in (first, second)


def test_files_that_are_missing_or_wrong(root: Path) -> None:
    whole = (root / "fog.npy").read_bytes()
    (root / "fog.npy").write_bytes(whole[:1000])
    assert message(root).startswith(f"{root / 'fog.npy'}: is truncated or no NumPy file (")
    np.save(root / "fog.npy", np.zeros((15, 3, 32, 32), dtype=np.uint8))
    assert message(root) == f"{root / 'fog.npy'}: holds uint8 (15, 3, 32, 32); expected uint8 (50000, 32, 32, 3)"
    np.save(root / "fog.npy", np.zeros((10, 32, 32, 3), dtype=np.uint8))
    assert message(root) == f"{root / 'fog.npy'}: holds 10 images, but labels.npy 15 labels; fetch it again"
    (root / "fog.npy").unlink()
    assert message(root) == (
        f"{root / 'fog.npy'}: no such file; data.root must hold it, or leave it out of data.corruptions"
    )
    np.save(root / "labels.npy", np.array([7, 0, 10] * 5))
    assert message(root) == f"{root / 'labels.npy'}: labels from 0 to 10; cifar10_c has 0 to 9"
    np.save(root / "labels.npy", np.zeros(14, dtype=np.uint8))
    assert message(root).startswith(f"{root / 'labels.npy'}: holds uint8 (14,); expected integers")
    (root / "labels.npy").unlink()
    assert message(root).startswith(f"{root / 'labels.npy'}: no such file")
    assert message(root / "gone").startswith(f"{root / 'gone'}: no such folder; data.root must name the folder that")
