"""A data set of your own: tasks in one NumPy file.

    data: {name: docs/examples/my_data.py:MyData, root: mine.npz}

The file holds ``classes`` (C,), and for every task ``<task>_images``, uint8 RGB (N, H, W, 3), and ``<task>_labels``,
(N,): each a position in ``classes``, or -1 where the class is not known.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from dusa_ignite.data import DataSet, Task
from dusa_ignite.errors import DataError


class MyData(DataSet):
    """The tasks of a .npz file, in the file's order; the options of all data sets are inherited."""

    # The name counts once the data set is part of the package; until then its reference stands in the config.
    name: Literal["my_data"] = "my_data"
    root: str = Field(min_length=1, description="the .npz file")

    def tasks(self) -> list[Task]:
        """A task for each array of images."""
        try:
            with np.load(self.root) as file:
                arrays = dict(file)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"data.root: {self.root}: is no .npz file that can be read ({error})") from error
        names = [key.removesuffix("_images") for key in arrays if key.endswith("_images")]
        missing = [key for key in ("classes", *(f"{name}_labels" for name in names)) if key not in arrays]
        if missing or not names:
            raise DataError(f"data.root: {self.root}: holds no {', '.join(missing) or '<task>_images'}")
        classes = tuple(str(name) for name in arrays["classes"])
        return [Task(name, MyImages(arrays[f"{name}_images"], arrays[f"{name}_labels"]), classes) for name in names]


class MyImages:
    """One task's images; any object with these methods will do. It is pickled to loader processes."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images
        self.labels = labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """The image, uint8 RGB (3, H, W), and its label. Sizes may differ from image to image."""
        return torch.from_numpy(self.images[index]).permute(2, 0, 1), int(self.labels[index])

    def fingerprint(self) -> str:
        """It stands in run.json, and a run is not resumed with data that have another one."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()


if __name__ == "__main__":  # an example of such a file: mine.npz, of digits in a fog and in the dark
    from dusa_ignite.data.digits import CLASSES, task_half

    digits, labels = task_half()
    photos = digits.permute(0, 2, 3, 1).numpy()
    fog, dark = photos // 2 + 127, photos // 3
    np.savez("mine.npz", classes=CLASSES, fog_images=fog, fog_labels=labels, dark_images=dark, dark_labels=labels)
    print(f"wrote {Path('mine.npz').absolute()}")
