"""ImageNet-C: ImageNet's validation images under 19 corruptions at five severities, a task for each pair.

D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
ICLR 2019.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from timm.data import ImageNetInfo

from dusa_ignite.data.corruption_names import ALL_CORRUPTIONS, BENCHMARK_CORRUPTIONS, SEVERITIES
from dusa_ignite.data.files import existing_folder, labelled_files, scan_folder, scan_folders
from dusa_ignite.data.stream import Task
from dusa_ignite.errors import ConfigError, DataError

__all__ = ["ALL_CORRUPTIONS", "BENCHMARK_CORRUPTIONS", "SEVERITIES", "imagenet_c_tasks", "imagenet_wnids"]

LAYOUT = "<corruption>/<severity>/<wnid>/*.JPEG"


def imagenet_c_tasks(root: str | Path, *, corruptions: str | Sequence[str], severities: Sequence[int]) -> list[Task]:
    """A task ``<corruption>/<severity>`` for each pair, corruption by corruption.

    Labels are positions in the sorted list of all 1,000 classes, so class folders may be missing; other corruptions
    and severities may be missing too.

    Args:
        root: the folder that holds ``<corruption>/<severity>/<wnid>/*.JPEG``.
        corruptions: ``"benchmark"`` (the 15 of the paper's tables), ``"all"`` (19), or a list of names.
        severities: each 1 (weak) to 5 (strong).

    Raises:
        ConfigError: a corruption or severity is unknown or listed twice, or none is listed.
        DataError: a folder that is needed is missing or without images, or a class folder is no ImageNet class.
    """
    corruption_names = _corruption_names(corruptions)
    _check_severities(severities)
    folder = existing_folder(root, expected=f"the folder of ImageNet-C, which holds {LAYOUT}")
    pairs = [(corruption, severity) for corruption in corruption_names for severity in severities]
    for corruption, severity in pairs:  # before the long listing of the first task
        _check_folders(folder, corruption, severity)
    return [_task(folder, corruption, severity) for corruption, severity in pairs]


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The 1,000 WordNet ids of ImageNet-1k, sorted; the position is the label."""
    return tuple(ImageNetInfo().label_names())


@cache
def _labels() -> dict[str, int]:
    return {wnid: label for label, wnid in enumerate(imagenet_wnids())}


def _task(root: Path, corruption: str, severity: int) -> Task:
    folder = root / corruption / str(severity)
    listing = scan_folder(folder)
    if listing.images:
        raise DataError(f"{folder / listing.images[0]}: lies outside a class folder; expected {folder}/<wnid>/*.JPEG")
    for name in listing.folders:
        if name not in _labels():
            raise DataError(
                f"{folder / name}: is not a class of ImageNet-1k (nearest: {_nearest(name, imagenet_wnids())}); "
                f"expected {folder}/<wnid>/*.JPEG"
            )
    class_folders = scan_folders([folder / name for name in listing.folders])
    for class_folder in class_folders:
        if class_folder.folders:
            raise DataError(f"{class_folder.path / class_folder.folders[0]}: a folder where images were expected")
    dataset = labelled_files(folder, class_folders, label_of=_labels())
    if not len(dataset):
        raise DataError(f"{folder}: holds no images; expected {folder}/<wnid>/*.JPEG")
    return Task(name=f"{corruption}/{severity}", dataset=dataset, classes=imagenet_wnids())


def _corruption_names(corruptions: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(corruptions, str):
        if corruptions not in ("benchmark", "all"):
            raise ConfigError(f"data.corruptions: {corruptions!r} is neither 'benchmark' nor 'all' nor a list of names")
        return BENCHMARK_CORRUPTIONS if corruptions == "benchmark" else ALL_CORRUPTIONS
    if not corruptions:
        raise ConfigError("data.corruptions: the list is empty; name at least one, or 'benchmark', or 'all'")
    for name in corruptions:
        if name not in ALL_CORRUPTIONS:
            raise ConfigError(
                f"data.corruptions: ImageNet-C has no {name!r}; did you mean {_nearest(name, ALL_CORRUPTIONS)!r}?"
            )
        if list(corruptions).count(name) > 1:
            raise ConfigError(f"data.corruptions: {name!r} is listed twice")
    return tuple(corruptions)


def _check_severities(severities: Sequence[int]) -> None:
    if not severities:
        raise ConfigError("data.severities: the list is empty; name at least one of 1 to 5")
    for severity in severities:
        if severity not in SEVERITIES:
            raise ConfigError(f"data.severities: {severity!r} is not one of 1, 2, 3, 4, 5")
        if list(severities).count(severity) > 1:
            raise ConfigError(f"data.severities: {severity} is listed twice")


def _check_folders(root: Path, corruption: str, severity: int) -> None:
    if not (root / corruption).is_dir():
        raise DataError(f"{root / corruption}: no such folder; {_why_no_corruption(root, corruption)}")
    if not (root / corruption / str(severity)).is_dir():
        raise DataError(f"{root / corruption / str(severity)}: no such folder; {_why_no_severity(root / corruption)}")


def _why_no_corruption(root: Path, corruption: str) -> str:
    """What seems to be wrong with ``root``, and the remedy."""
    found = scan_folder(root).folders
    here = set(found) & set(ALL_CORRUPTIONS)
    if here:
        return f"{root} holds {', '.join(sorted(here))}: add {corruption}, or leave it out of data.corruptions"
    below = [root / name for name in found if set(scan_folder(root / name).folders) & set(ALL_CORRUPTIONS)]
    if len(below) == 1:
        return f"data.root is one level too high: set data.root={below[0]}"
    if below:
        parts = ", ".join(folder.name for folder in below)
        return f"the corruptions lie one level down, in {parts}: move or link them into one folder, data.root"
    if set(found) & {str(severity) for severity in SEVERITIES}:
        return f"data.root is one level too deep, it holds severities: set data.root={root.absolute().parent}"
    if set(found) & set(imagenet_wnids()):
        return f"data.root is too deep, it holds class folders: set data.root={root.absolute().parent.parent}"
    return f"data.root must hold {LAYOUT}, and here it holds {_some(found)}"


def _why_no_severity(folder: Path) -> str:
    found = scan_folder(folder).folders
    here = [name for name in found if name in {str(severity) for severity in SEVERITIES}]
    if here:
        return f"{folder} holds severity {', '.join(here)}: add the missing one, or leave it out of data.severities"
    if set(found) & set(imagenet_wnids()):
        return f"{folder} holds class folders where severities 1 to 5 were expected: move them into {folder}/<severity>"
    return f"expected {folder}/<severity>/<wnid>/*.JPEG, and the corruption's folder holds {_some(found)}"


def _nearest(name: str, names: Sequence[str]) -> str:
    return difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)[0]


def _some(names: list[str]) -> str:
    if not names:
        return "no folders"
    return f"{len(names)} other folder{'s' * (len(names) > 1)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
