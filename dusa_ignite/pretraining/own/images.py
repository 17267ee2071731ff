"""The labelled images of a folder: training and held-out ones, decoded once where memory allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch

from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.data.labelled_folder import labelled_folder
from dusa_ignite.errors import DataError
from dusa_ignite.pretraining.own.config import OwnData
from dusa_ignite.utils.seeding import derive_seed

logger = logging.getLogger(__name__)

READERS = 4  # threads that decode; Pillow lets them work side by side


class Split(NamedTuple):
    """Training and held-out files of the same classes."""

    training: LabelledFiles
    held_out: LabelledFiles
    classes: tuple[str, ...]

    @property
    def left_out(self) -> list[str]:
        """Paths of files beside these that are no images by their names."""
        return list(dict.fromkeys([*self.training.left_out, *self.held_out.left_out]))

    def fingerprint(self) -> str:
        """Of all files, their sizes and labels."""
        return f"{self.training.fingerprint()} {self.held_out.fingerprint()}"


def load_split(data: OwnData, *, seed: int) -> Split:
    """The images of ``data.root`` and those held out, with the same classes.

    Raises:
        DataError: a folder is missing, has no labels, or a class has no image to learn from or none to be held out.
    """
    files, classes = labelled_folder(data.root, classes=data.classes, key="data.root")
    if len(classes) < 2:
        raise DataError(f"{data.root}: holds one class; data.root must hold a folder for each of two or more")
    if data.validation_root is not None:
        other, _ = labelled_folder(data.validation_root, classes=classes, key="data.validation_root")
        return _checked(Split(files, other, classes))
    held = set(held_out(files.labels.tolist(), share=data.validation_share, seed=seed))
    learnt = [i for i in range(len(files)) if i not in held]
    return _checked(Split(files.chosen(learnt), files.chosen(sorted(held)), classes))


def held_out(labels: Sequence[int], *, share: float, seed: int) -> list[int]:
    """Which images are held out: of each class this share, rounded, but at least one of two or more.

    Args:
        labels: of all images, in the order of their names.
        share: in (0, 1).
        seed: the choice depends on it and on the class.
    """
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    chosen: list[int] = []
    for label, indices in sorted(by_class.items()):
        generator = torch.Generator().manual_seed(derive_seed(seed, "held out", label))
        count = min(max(1, round(share * len(indices))), len(indices) - 1)
        chosen += [indices[k] for k in torch.randperm(len(indices), generator=generator)[:count].tolist()]
    return sorted(chosen)


def evenly(labels: Sequence[int], count: int) -> list[int]:
    """At most ``count`` positions, taken in turns from every class, in rising order."""
    turns: dict[int, int] = {}
    ranked = []
    for position, label in enumerate(labels):
        turns[label] = turns.get(label, -1) + 1
        ranked.append((turns[label], label, position))
    return sorted(position for _, _, position in sorted(ranked)[:count])


class ViewedImages:
    """Images in the view of a model, as uint8; kept once they have been decoded, if all fit into memory.

    Args:
        files: the images.
        view: makes (3, S, S) in [0, 1] of one image (1, 3, H, W) in [0, 1].
        size: S.
        kept_bytes: bytes that may be used to keep them.

    Attributes:
        kept_bytes: those that are.
    """

    def __init__(
        self, files: LabelledFiles, *, view: Callable[[torch.Tensor], torch.Tensor], size: int, kept_bytes: float
    ) -> None:
        self.files = files
        self.labels = torch.from_numpy(files.labels)
        self.size = size
        self._view = view
        needed = len(files) * 3 * size**2
        self.kept_bytes = needed if needed <= kept_bytes else 0
        self._kept: dict[int, torch.Tensor] | None = {} if needed <= kept_bytes else None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, indices: Sequence[int]) -> torch.Tensor:
        """(B, 3, S, S) uint8.

        Raises:
            DataError: an image cannot be read; the message names it.
        """
        if not indices:
            return torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        with ThreadPoolExecutor(READERS) as pool:
            return torch.stack(list(pool.map(self._one, indices)))

    def _one(self, index: int) -> torch.Tensor:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        viewed = self._view(self.files[index][0][None] / 255)
        stored = (viewed * 255).round().to(torch.uint8)
        if self._kept is not None:
            self._kept[index] = stored
        return stored


def _checked(split: Split) -> Split:
    for part, what in ((split.training, "to learn from"), (split.held_out, "to be held out")):
        missing = sorted(set(range(len(split.classes))) - set(part.labels.tolist()))
        if missing and part is split.training:
            raise DataError(f"{part.root}: class {split.classes[missing[0]]!r} has no image {what}")
        if missing:
            logger.warning("%s: class %r has no image %s", part.root, split.classes[missing[0]], what)
    if not len(split.held_out):
        raise DataError(f"{split.held_out.root}: no class has a second image, to be held out; give more images")
    return split
