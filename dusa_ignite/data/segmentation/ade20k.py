"""ADE20K (Zhou et al. 2017, arXiv 1608.05442) as its scene parsing benchmark has it: 150 classes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from dusa_ignite.data.data_set import DataSet
from dusa_ignite.data.files import existing_folder
from dusa_ignite.data.segmentation.ade20k_names import ADE20K_NAMES
from dusa_ignite.data.segmentation.pairs import images_below, paired_task
from dusa_ignite.data.task import ProblemName, Task
from dusa_ignite.utils.section import PathText

LAYOUT = "ADEChallengeData2016: images/<split>/*.jpg and annotations/<split>/*.png"


class Ade20k(DataSet):
    """ADE20K's scene parsing benchmark, a single task per split."""

    problem: ClassVar[ProblemName] = "segmentation"

    name: Literal["ade20k"] = "ade20k"
    root: PathText = Field(min_length=1, description=f"folder {LAYOUT}")
    split: Literal["training", "validation"] = Field(default="validation", description="which images are taken")

    def tasks(self) -> list[Task]:
        """One task, named after the split. The files' 0 (unlabelled) becomes 255, their 1 .. 150 the labels 0 .. 149.

        Raises:
            DataError: a folder is missing or without images, or an image has no annotation.
        """
        root = existing_folder(self.root, expected=LAYOUT)
        folder = existing_folder(root / "images" / self.split, expected=f"the parent of images in {LAYOUT}")
        annotations = existing_folder(
            root / "annotations" / self.split, expected=f"the parent of annotations in {LAYOUT}"
        )
        return [annotated_task(self.split, folder, annotations)]


def annotated_task(name: str, folder: Path, annotations: Path) -> Task:
    """The images of a folder with the annotations of the same names, which count classes from 1.

    Raises:
        DataError: there is no image, or one without an annotation.
    """
    found = images_below(folder)
    return paired_task(
        name,
        folder,
        images=found.images,
        map_of=lambda image: annotations / Path(image).with_suffix(".png"),
        classes=ADE20K_NAMES,
        zero_is_unknown=True,
        left_out=found.others,
    )
