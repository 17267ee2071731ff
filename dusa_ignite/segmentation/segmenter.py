"""The segmenter that is adapted: as the classifier, but its logits have places and its images keep their ratio."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.view import declared_view
from dusa_ignite.models.views import Images
from dusa_ignite.segmentation.resize import resize_short_side


class Segmenter(Classifier):
    """A model that takes RGB images in [0, 1] and returns logits (B, C, h, w) at its own resolution.

    Args:
        backbone: makes logits (B, C, h, w) of normalised RGB images (B, 3, H, W).
        num_classes: C, >= 2.
        short_side: pixels; the images' shorter side is resized to it, the ratio kept. 512 in the paper.
        mean, std: per channel, of RGB in [0, 1]; a backbone that normalises by itself has 0 and 1.
        interpolation: of the resize.
        antialias: whether shrinking is low-passed.
        batch_norm: see :class:`dusa_ignite.models.Classifier`.
        class_names: in the order of the outputs, as far as the model knows them; empty = it does not.

    Raises:
        ConfigError: a number is out of its range, or there is not a name for each class.

    Example:
        >>> segmenter = Segmenter(MyNetwork(), num_classes=19, short_side=512, mean=(0.5,) * 3, std=(0.5,) * 3)
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        short_side: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        interpolation: str = "bilinear",
        antialias: bool = True,
        batch_norm: str = "batch",
        class_names: Sequence[str] = (),
    ) -> None:
        if class_names and len(class_names) != num_classes:
            raise ConfigError(f"segmenter: {len(class_names)} class names for {num_classes} classes")
        view = declared_view(
            image_size=short_side, mean=mean, std=std, interpolation=interpolation, antialias=antialias
        )
        super().__init__(backbone, view=view, batch_norm=batch_norm, num_classes=num_classes)
        self.class_names = tuple(class_names)

    normalises_together = False

    @property
    def uses_own_statistics(self) -> bool:
        """Whether BatchNorm normalises with the statistics of each image."""
        return self.batch_norm == "batch" and any(True for _ in self._batch_norm_layers())

    def view_line(self) -> str:
        """What is done to an image before the backbone sees it, for the log."""
        view = self.source_view
        numbers = ", ".join(f"{name} {list(getattr(view, name))}" for name in ("mean", "std"))
        antialias = "with" if view.antialias else "without"
        return (
            f"the segmenter's view: shorter side {self.image_size} pixels, ratio kept, {self.interpolation} "
            f"{antialias} antialiasing, {numbers}"
        )

    def forward(self, images: Images) -> torch.Tensor:
        """Logits (B, num_classes, h, w) of float RGB images in [0, 1]: (B, 3, H, W), or a list of (3, H, W).

        Images go through one by one: BatchNorm with the batch's statistics takes those of the single image, so results
        depend neither on the batch size nor on the number of processes.

        Raises:
            DataError: a batch's images differ in their size after resizing.
        """
        if len(images) == 0:
            return self.no_logits()
        return torch.cat([self.forward_resized(image[None]) for image in self.crop(images)])

    def no_logits(self) -> torch.Tensor:
        """What :meth:`forward` returns for no images."""
        return self.mean.new_empty(0, self.num_classes, 1, 1)

    def crop(self, images: Images) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] with the shorter side resized; nothing is cut off. Done again, it stays as it is.

        Raises:
            DataError: a batch's images differ in their size afterwards.
        """
        if len(images) == 0:
            return self.mean.new_empty(0, 3, self.image_size, self.image_size)
        if isinstance(images, torch.Tensor):
            return self._resized(images)
        resized = [self._resized(image[None]) for image in images]
        shapes = sorted({tuple(image.shape[-2:]) for image in resized})
        if len(shapes) > 1:
            raise DataError(
                f"images of one batch have {shapes[0][0]} x {shapes[0][1]} and {shapes[1][0]} x {shapes[1][1]} pixels "
                "after resizing; segmenters take images that differ in size one by one: set data.batch_size=1"
            )
        return torch.cat(resized)

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        return resize_short_side(
            images,
            short_side=self.image_size,
            interpolation=self.interpolation,
            antialias=self.source_view.antialias,
        )
