"""Any folder of images, with PNG label maps or without."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from dusa_ignite.data.files import existing_folder, scan_folder
from dusa_ignite.data.named_classes import NamedClasses
from dusa_ignite.data.segmentation.label_maps import UNKNOWN
from dusa_ignite.data.segmentation.pairs import images_below, paired_task
from dusa_ignite.data.task import ProblemName, Task
from dusa_ignite.errors import DataError
from dusa_ignite.utils.section import PathText

LAYOUT = "images/* or images/<task>/*, and beside it masks with a .png of the same path for each; or unlabelled images"


class MaskFolder(NamedClasses):
    """Images and PNG label maps in two folders that look alike, or unlabelled images in one."""

    problem: ClassVar[ProblemName] = "segmentation"

    name: Literal["mask_folder"] = "mask_folder"
    root: PathText = Field(min_length=1, description=f"folder of {LAYOUT}")
    zero_is_unknown: bool = Field(
        default=False, description="whether masks count classes from 1 and have 0 where nothing is labelled, as ADE20K"
    )

    def tasks(self) -> list[Task]:
        """A task per sub-folder of images, sorted by name; a single one, named after the root, where there is none.

        With a folder ``images`` its images have the label maps ``masks/<same path>.png``, which hold a class's number
        per pixel and 255 (or 0, see the options) for unknown. Without it, the root itself holds unlabelled images.

        Raises:
            DataError: images lie beside folders, there is none, one has no label map, or no classes are named.
        """
        root = existing_folder(self.root, expected=LAYOUT)
        labelled = (root / "images").is_dir()
        folder = root / "images" if labelled else root
        masks = root / "masks" if labelled else None
        if masks is not None and not masks.is_dir():
            raise DataError(
                f"{masks}: no such folder; {folder} needs label maps beside it. For unlabelled images set "
                f"data.root={folder}"
            )
        classes = self.class_names()
        if classes is None:
            raise DataError(f"{root}: the data do not say what their classes are; set data.classes, a list or a file")
        if len(classes) > UNKNOWN:
            raise DataError(
                f"{root}: {len(classes)} classes; label maps here have at most {UNKNOWN}, and {UNKNOWN} for unknown"
            )
        top = scan_folder(folder)
        if top.images and top.folders:
            raise DataError(
                f"{folder / top.images[0]}: an image beside the folder {folder / top.folders[0]}; data.root must hold "
                f"{LAYOUT}"
            )
        places = [folder / name for name in top.folders] or [folder]
        return [self._task(place, root, masks and masks / place.relative_to(folder), classes) for place in places]

    def _task(self, place: Path, root: Path, masks: Path | None, classes: tuple[str, ...]) -> Task:
        found = images_below(place)
        name = root.resolve().name if place in (root, root / "images") else place.name
        return paired_task(
            name,
            place,
            images=found.images,
            map_of=None if masks is None else lambda image: masks / Path(image).with_suffix(".png"),
            classes=classes,
            zero_is_unknown=self.zero_is_unknown,
            left_out=found.others,
        )
