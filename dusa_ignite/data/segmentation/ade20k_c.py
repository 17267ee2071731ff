"""ADE20K-C: the validation images of ADE20K under the corruptions of ImageNet-C, as files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from dusa_ignite.data.corrupted import ALL_CORRUPTIONS, BENCHMARK_CORRUPTIONS, CorruptedDataSet
from dusa_ignite.data.files import existing_folder
from dusa_ignite.data.segmentation.ade20k import annotated_task
from dusa_ignite.data.task import ProblemName, Task
from dusa_ignite.utils.section import PathText

LAYOUT = "ADE20K-C: <images>/<corruption>/<severity>/validation/*.jpg and annotations/validation/*.png"


class Ade20kC(CorruptedDataSet):
    """ADE20K's validation images, corrupted; a task per corruption and severity."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = BENCHMARK_CORRUPTIONS
    all_corruptions: ClassVar[tuple[str, ...]] = ALL_CORRUPTIONS

    problem: ClassVar[ProblemName] = "segmentation"

    name: Literal["ade20k_c"] = "ade20k_c"
    root: PathText = Field(min_length=1, description=f"folder {LAYOUT}")
    images: PathText = Field(
        default="ADE20K_val-c", min_length=1, description="folder of the corrupted images, relative to the root"
    )

    def tasks(self) -> list[Task]:
        """A task for each of :attr:`pairs`, all with the annotations of the clean images.

        Raises:
            DataError: a folder is missing or without images, or an image has no annotation.
        """
        root = existing_folder(self.root, expected=LAYOUT)
        annotations = existing_folder(root / "annotations" / "validation", expected=f"the parent of them in {LAYOUT}")
        return [self._task(root, annotations, corruption, severity) for corruption, severity in self.pairs]

    def _task(self, root: Path, annotations: Path, corruption: str, severity: int) -> Task:
        folder = existing_folder(
            root / self.images / corruption / str(severity) / "validation", expected=f"the parent of images in {LAYOUT}"
        )
        return annotated_task(f"{corruption}/{severity}", folder, annotations)
