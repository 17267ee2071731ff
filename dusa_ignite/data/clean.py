"""Clean images, for methods that measure something on them before a run."""

from __future__ import annotations

import torch

from dusa_ignite.data.digits import clean_half
from dusa_ignite.data.image_folder import image_folder_tasks
from dusa_ignite.data.task import LabelledImages


def clean_images(root: str, *, key: str) -> LabelledImages | list[tuple[torch.Tensor, int]]:
    """Labelled images by position, each uint8 RGB (3, H, W) with its label.

    Args:
        root: ``embedded`` = the clean half of the digits (899 images, 32 x 32), else a folder as
            :class:`dusa_ignite.data.image_folder.ImageFolder` reads it, of whose tasks the first counts.
        key: the option that names it, for error messages.

    Raises:
        DataError: the folder is missing or not what it should be, or scikit-learn is missing.
    """
    if root == "embedded":
        images, labels = clean_half()
        return list(zip(images, labels.tolist(), strict=True))
    return image_folder_tasks(root, key=key)[0].dataset
