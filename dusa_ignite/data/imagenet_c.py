"""ImageNet-C: ImageNet's validation images under 19 corruptions at five severities, a task for each pair.

D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from dusa_ignite.data.corrupted import ALL_CORRUPTIONS, BENCHMARK_CORRUPTIONS, SEVERITIES, CorruptedDataSet
from dusa_ignite.data.files import LabelledFiles, existing_folder, labelled_files, scan_folder, scan_folders
from dusa_ignite.data.imagenet_c_tars import CorruptionTars
from dusa_ignite.data.imagenet_names import imagenet_wnids
from dusa_ignite.data.named_images import NamedImages
from dusa_ignite.data.tar_images import TarImages
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.nearest import nearest
from dusa_ignite.utils.section import PathText

LAYOUT = "<corruption>/<severity>/<wnid>/*.JPEG"


class ImageNetC(CorruptedDataSet):
    """ImageNet-C: a task per corruption and severity."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = BENCHMARK_CORRUPTIONS
    all_corruptions: ClassVar[tuple[str, ...]] = ALL_CORRUPTIONS

    name: Literal["imagenet_c"] = "imagenet_c"
    root: PathText = Field(min_length=1, description=f"folder of {LAYOUT}, or of the tars that hold these")

    def tasks(self) -> list[Task]:
        """A task for each of :attr:`pairs`, from folders, or where there is none for a corruption, from tars.

        Labels are positions in the sorted list of all 1,000 classes, so class folders may be missing; corruptions and
        severities that are not asked for may be missing too.

        Raises:
            DataError: a folder that is needed is missing or without images, a class folder is no ImageNet class, or a
                tar is truncated or damaged.
        """
        folder = self._folder()
        tars = CorruptionTars(folder)
        for corruption, severity in self.pairs:  # before the long listing of the first task
            _check_folders(folder, tars, corruption, severity)
        return [_task(folder, tars, corruption, severity) for corruption, severity in self.pairs]

    def survey(self, problems: list[str]) -> list[Task]:
        """The tasks that can be found; every other corruption and severity is a problem."""
        tasks: list[Task] = []
        try:
            folder = self._folder()
        except DataError as error:
            problems.append(str(error))
            return tasks
        tars = CorruptionTars(folder)
        for corruption, severity in self.pairs:
            try:
                _check_folders(folder, tars, corruption, severity)
                tasks.append(_task(folder, tars, corruption, severity))
            except DataError as error:
                if str(error) not in problems:  # the root's, and a tar's, are the same for several
                    problems.append(str(error))
        return tasks

    def _folder(self) -> Path:
        return existing_folder(self.root, expected=f"the folder of ImageNet-C, which holds {LAYOUT}, or its tars")


@cache
def _labels() -> dict[str, int]:
    return {wnid: label for label, wnid in enumerate(imagenet_wnids())}


def _task(root: Path, tars: CorruptionTars, corruption: str, severity: int) -> Task:
    if (root / corruption).is_dir():
        dataset: NamedImages = _in_folder(root / corruption / str(severity))
    else:
        dataset = _in_tar(tars, corruption, severity)
    return Task(name=f"{corruption}/{severity}", dataset=dataset, classes=imagenet_wnids())


def _in_folder(folder: Path) -> LabelledFiles:
    listing = scan_folder(folder)
    if listing.images:
        raise DataError(f"{folder / listing.images[0]}: lies outside a class folder; expected {folder}/<wnid>/*.JPEG")
    _check_wnids(listing.folders, str(folder))
    class_folders = scan_folders([folder / name for name in listing.folders])
    for class_folder in class_folders:
        if class_folder.folders:
            raise DataError(f"{class_folder.path / class_folder.folders[0]}: a folder where images were expected")
    dataset = labelled_files(folder, class_folders, label_of=_labels())
    if not len(dataset):
        raise DataError(f"{folder}: holds no images; expected {folder}/<wnid>/*.JPEG")
    return dataset


def _in_tar(tars: CorruptionTars, corruption: str, severity: int) -> TarImages:
    images = tars.find(corruption, severity)
    assert images is not None  # else _check_folders has said so
    wnids = dict.fromkeys(file.partition("/")[0] for file in images.files)
    _check_wnids(wnids, f"{images.tar}: {corruption}/{severity}")
    return images.labelled(_labels())


def _check_wnids(names: Iterable[str], place: str) -> None:
    for name in names:
        if name not in _labels():
            raise DataError(
                f"{place}/{name}: is not a class of ImageNet-1k (nearest: {nearest(name, imagenet_wnids())}); "
                f"expected {place}/<wnid>/*.JPEG"
            )


def _check_folders(root: Path, tars: CorruptionTars, corruption: str, severity: int) -> None:
    if not (root / corruption).is_dir():
        if not tars.tars:
            raise DataError(f"{root / corruption}: no such folder; {_why_no_corruption(root, corruption)}")
        if tars.find(corruption, severity) is None:
            raise DataError(
                f"{root / corruption}: no such folder, and {', '.join(tar.name for tar in tars.tars)} beside it do not "
                f"hold {corruption}/{severity}: add it, or leave it out of data.corruptions and data.severities"
            )
    elif not (root / corruption / str(severity)).is_dir():
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


def _some(names: list[str]) -> str:
    if not names:
        return "no folders"
    return f"{len(names)} other folder{'s' * (len(names) > 1)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
