"""CoTTA for segmentation: as in :mod:`dusa_ignite.methods.cotta`, with places where that has images.

What differs from classification:

* The source model's confidence is the mean over all places of the logits, and so is the student's loss.
* The teacher is averaged over the image at several scales, each as it is and mirrored, as in the authors' experiments
  on Cityscapes and ACDC (arXiv 2203.13591, section 4.3), instead of over random augmentations: nothing is drawn for it.
  Its logits are mirrored and resized back before they are averaged.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BeforeValidator, Field
from torch.nn import functional as F

from dusa_ignite.methods.base import Method
from dusa_ignite.methods.cotta import Cotta
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.models.views import Images
from dusa_ignite.utils.section import as_tuple, distinct


def _are_scales(values: tuple[float, ...]) -> tuple[float, ...]:
    wrong = [value for value in values if not 0.1 <= value <= 4]
    if wrong or not values:
        raise ValueError(f"{list(wrong or values)} is not allowed; allowed: at least one number in [0.1, 4]")
    return distinct(values)


class PixelCotta(Cotta):
    """One update per batch; all parameters of the segmenter, the student, learn. The predictions are the teacher's.

    State and diagnostics are those of :class:`dusa_ignite.methods.cotta.Cotta`.
    """

    class Options(Method.Options):
        """A moving-average teacher, averaged over scales, and random restoring, for segmentation (arXiv 2203.13591)."""

        name: Literal["pixel_cotta"] = "pixel_cotta"
        teacher_decay: float = Field(default=0.999, ge=0, le=1, description="of the teacher's average, in [0, 1]")
        scales: Annotated[tuple[float, ...], BeforeValidator(as_tuple), AfterValidator(_are_scales)] = Field(
            default=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
            description="of the image that the teacher is averaged over, each also mirrored; in [0.1, 4]",
        )
        confidence_threshold: float = Field(
            default=0.69, ge=0, le=1, description="average where the source model's mean confidence is below, in [0, 1]"
        )
        restore_probability: float = Field(
            default=0.01, ge=0, le=1, description="of each element to return to the source's, per update, in [0, 1]"
        )

    problems = ("segmentation",)

    @classmethod
    def footprint(cls, options: Options) -> Footprint:  # type: ignore[override]
        """Teacher and source model; the teacher sees enlarged images."""
        return Footprint(classifiers=2, largest_scale=max(options.scales))

    @torch.no_grad()
    def averaged_prediction(self, images: Images, generators: list[torch.Generator]) -> torch.Tensor:
        """The teacher's mean logits (B, C, h, w) over all scales, at the resolution of those of the image itself."""
        teacher: Any = self.teacher.classifier
        view = teacher.crop(images)
        if len(view) == 0:
            return teacher.no_logits()
        return torch.cat([self._averaged(teacher, image[None]) for image in view])

    def _averaged(self, teacher: Any, image: torch.Tensor) -> torch.Tensor:
        size = teacher.forward_resized(image).shape[-2:]
        total = image.new_zeros(())
        for scale in self.options.scales:
            sides = [max(1, round(scale * side)) for side in image.shape[-2:]]
            scaled = F.interpolate(image, size=sides, mode="bilinear", align_corners=False, antialias=scale < 1)
            for mirrored in (False, True):
                shown = scaled.flip(-1) if mirrored else scaled
                logits = teacher.forward_resized(shown)
                back = logits.flip(-1) if mirrored else logits
                total = total + F.interpolate(back, size=size, mode="bilinear", align_corners=False)
        return total / (2 * len(self.options.scales))
