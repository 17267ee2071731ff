"""Clean images, on which something is measured before a run."""

from __future__ import annotations

import numpy as np
import torch

from dusa_ignite.data.digits import CLASSES, clean_half
from dusa_ignite.data.image_folder import image_folder_tasks
from dusa_ignite.data.task import LabelledImages
from dusa_ignite.errors import DataError
from dusa_ignite.utils.seeding import numpy_generator


def clean_images(root: str, *, key: str) -> CleanDigits | LabelledImages:
    """Labelled images by position, each uint8 RGB (3, H, W) with its label.

    Args:
        root: ``embedded`` = the clean half of the digits (899 images, 32 x 32), else a folder as
            :class:`dusa_ignite.data.image_folder.ImageFolder` reads it, of whose tasks the first counts.
        key: the option that names it, for error messages.

    Raises:
        DataError: the folder is missing or not what it should be, or scikit-learn is missing.
    """
    if root == "embedded":
        return CleanDigits()
    return image_folder_tasks(root, key=key)[0].dataset


class CleanDigits:
    """The clean half of the digits as a data set, see :func:`dusa_ignite.data.digits.clean_half`.

    Raises:
        DataError: scikit-learn is missing.
    """

    def __init__(self) -> None:
        self.images, self.labels = clean_half()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """The image, uint8 RGB (3, 32, 32), and the digit it shows."""
        return self.images[index], int(self.labels[index])


def clean_images_of(
    root: str, classes: tuple[str, ...], *, key: str = "data.clean_root"
) -> CleanDigits | LabelledImages:
    """Clean images whose labels are positions in the given classes.

    Args:
        root: ``embedded`` = the clean half of the digits, else a folder ``<root>/<class>/<image>``. A class needs no
            folder there, but every folder must be one of the classes.
        classes: of the tasks, in the order of the labels.
        key: the option that names the root, for error messages.

    Raises:
        DataError: the folder is missing, holds no class folders, or one that is no class; the digits' classes are
            others; or scikit-learn is missing.
    """
    if root == "embedded":
        if tuple(classes) != CLASSES:
            raise DataError(
                f"{key}: embedded is for data.name=digits; give a folder <class>/<image> of your own classes, or null"
            )
        return CleanDigits()
    tasks = image_folder_tasks(root, classes=tuple(classes), key=key)
    if len(tasks) > 1 or (np.asarray(tasks[0].dataset.labels) < 0).any():
        raise DataError(
            f"{root}: {key} must hold class folders, <class>/<image>, named after the classes of the data "
            f"({', '.join(classes[:3])}{', ...' * (len(classes) > 3)})"
        )
    return tasks[0].dataset


def drawn_evenly(labels: np.ndarray | torch.Tensor, *, number: int, seed: int) -> list[int]:
    """Positions of images, drawn at random, as many of one class as of another as far as there are.

    Args:
        labels: (N,) of all images.
        number: to draw, >= 1; at most all are.
        seed: of the draw; equal seeds draw the same images.
    """
    shuffled = numpy_generator(seed, "clean", "images").permutation(len(labels))
    seen: dict[int, int] = {}
    rounds = []  # how many images of its class stand before each
    for label in np.asarray(labels)[shuffled].tolist():
        rounds.append(seen.get(label, 0))
        seen[label] = rounds[-1] + 1
    return shuffled[np.argsort(rounds, kind="stable")][:number].tolist()
