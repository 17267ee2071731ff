"""Cityscapes (Cordts et al. 2016, arXiv 1604.01685): 19 classes of street scenes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from dusa_ignite.data.data_set import DataSet
from dusa_ignite.data.files import existing_folder
from dusa_ignite.data.segmentation.pairs import images_below, paired_task
from dusa_ignite.data.task import ProblemName, Task
from dusa_ignite.utils.section import PathText

LAYOUT = "Cityscapes: leftImg8bit/<split>/<city>/*_leftImg8bit.png and gtFine/<split>/<city>/*_gtFine_labelTrainIds.png"
CITYSCAPES_NAMES = (  # in the order of the train ids
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
IMAGE, LABELS = "_leftImg8bit.png", "_gtFine_labelTrainIds.png"


class Cityscapes(DataSet):
    """Cityscapes' fine annotations, a single task per split."""

    problem: ClassVar[ProblemName] = "segmentation"
    ratio: ClassVar[float] = 2.0

    name: Literal["cityscapes"] = "cityscapes"
    root: PathText = Field(min_length=1, description=f"folder {LAYOUT}")
    split: Literal["train", "val"] = Field(default="val", description="which images are taken")

    def tasks(self) -> list[Task]:
        """One task, named after the split; images go by city and name.

        Raises:
            DataError: a folder is missing or without images, or an image has no labelTrainIds (which Cityscapes' own
                scripts make of its polygons).
        """
        root = existing_folder(self.root, expected=LAYOUT)
        folder = existing_folder(root / "leftImg8bit" / self.split, expected=f"the parent of leftImg8bit in {LAYOUT}")
        labels = root / "gtFine" / self.split
        found = images_below(folder)
        images = [image for image in found.images if image.endswith(IMAGE)]
        return [
            paired_task(
                self.split,
                folder,
                images=images,
                map_of=lambda image: labels / Path(image.removesuffix(IMAGE) + LABELS),
                classes=CITYSCAPES_NAMES,
                left_out=sorted({*found.images, *found.others} - set(images)),
            )
        ]
