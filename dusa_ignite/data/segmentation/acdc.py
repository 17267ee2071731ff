"""ACDC (Sakaridis et al. 2021, arXiv 2104.13395): Cityscapes' classes in fog, at night, in rain and in snow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from dusa_ignite.data.data_set import DataSet
from dusa_ignite.data.files import existing_folder
from dusa_ignite.data.segmentation.cityscapes import CITYSCAPES_NAMES
from dusa_ignite.data.segmentation.pairs import images_below, paired_task
from dusa_ignite.data.task import ProblemName, Task
from dusa_ignite.utils.section import Distinct, PathText, as_tuple

LAYOUT = (
    "ACDC: rgb_anon/<condition>/<split>/<drive>/*_rgb_anon.png and "
    "gt/<condition>/<split>/<drive>/*_gt_labelTrainIds.png"
)
IMAGE, LABELS = "_rgb_anon.png", "_gt_labelTrainIds.png"

Condition = Literal["fog", "night", "rain", "snow"]


class Acdc(DataSet):
    """ACDC, a task per condition."""

    problem: ClassVar[ProblemName] = "segmentation"
    ratio: ClassVar[float] = 16 / 9

    name: Literal["acdc"] = "acdc"
    root: PathText = Field(min_length=1, description=f"folder {LAYOUT}")
    split: Literal["train", "val", "test"] = Field(
        default="val", description="which images are taken; those of test have no labels"
    )
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1), BeforeValidator(as_tuple), Distinct] = Field(
        default=("fog", "night", "rain", "snow"), description="list out of fog, night, rain and snow"
    )

    def tasks(self) -> list[Task]:
        """A task per condition, in the order of the option; images go by drive and name.

        Raises:
            DataError: a folder is missing or without images, or an image of train or val has no labelTrainIds.
        """
        root = existing_folder(self.root, expected=LAYOUT)
        return [self._task(root, condition) for condition in self.conditions]

    def _task(self, root: Path, condition: str) -> Task:
        folder = existing_folder(
            root / "rgb_anon" / condition / self.split, expected=f"a condition's images in {LAYOUT}"
        )
        labels = root / "gt" / condition / self.split
        found = images_below(folder)
        images = [image for image in found.images if image.endswith(IMAGE)]
        return paired_task(
            condition,
            folder,
            images=images,
            map_of=None if self.split == "test" else lambda image: labels / (image.removesuffix(IMAGE) + LABELS),
            classes=CITYSCAPES_NAMES,
            left_out=sorted({*found.images, *found.others} - set(images)),
        )
