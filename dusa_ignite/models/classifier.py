"""The classifier that is adapted: any module with logits, timm's or not, with its own crop and normalisation inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.models.view import View, resolve_view
from dusa_ignite.models.views import Images, classifier_view


class Classifier(nn.Module):
    """A model that takes RGB images in [0, 1] of any size and returns logits.

    Args:
        backbone: a timm model; or any module that makes logits (B, C) of normalised RGB images (B, 3, S, S): give its
            ``num_classes`` and its ``view``, then. A method that looks at features (LAME) needs timm's
            ``forward_features`` and ``forward_head``.
        image_size: side of the square the backbone sees; ``None`` = its own.
        view: instead, everything that is done to an image before, see :func:`dusa_ignite.models.view.resolve_view` and
            :func:`dusa_ignite.models.view.declared_view`; ``None`` = as timm says for the backbone.
        batch_norm: BatchNorm layers normalise with the statistics of the batch (``"batch"``) or with the stored source
            statistics (``"source"``). The stored ones are kept untouched in either case.
        num_classes: C, >= 2; ``None`` = as the backbone says.
        model_args: what timm was given to build the backbone, besides its name and number of classes; for exports.

    Raises:
        ConfigError: the number of classes or the view is given by nobody.

    Example:
        >>> view = declared_view(image_size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> classifier = Classifier(MyNetwork(), num_classes=10, view=view)
    """

    normalises_together: ClassVar[bool] = True
    """Whether the images of a batch share the statistics of BatchNorm, or each has its own."""
    mean: torch.Tensor
    std: torch.Tensor
    columns: torch.Tensor | None

    def __init__(
        self,
        backbone: nn.Module,
        *,
        image_size: int | None = None,
        view: View | None = None,
        batch_norm: str = "batch",
        num_classes: int | None = None,
        model_args: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.num_classes = _number_of_classes(backbone) if num_classes is None else num_classes
        self.source_view = view or _own_view(backbone, image_size)
        self.image_size = self.source_view.image_size
        self.crop_pct = self.source_view.crop_pct
        self.interpolation = self.source_view.interpolation
        self.squash = self.source_view.crop_mode == "squash"
        self.batch_norm = batch_norm
        self.model_args = dict(model_args or {})
        self.autocast_dtype: torch.dtype | None = None
        self.channels_last = False
        self.register_buffer("mean", torch.tensor(self.source_view.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(self.source_view.std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("columns", None, persistent=False)
        self.train(False)

    def compute_in(self, dtype: torch.dtype | None, *, channels_last: bool = False) -> None:
        """From now on the backbone computes in another way; its parameters stay in float32, and so do the logits.

        Args:
            dtype: half precision, by autocast; ``None`` = that of the parameters.
            channels_last: images, feature maps and the weights of convolutions lie in memory channel by channel of a
                pixel, which the GPU's convolutions like.
        """
        self.autocast_dtype = dtype
        self.channels_last = channels_last
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)

    def restrict_to(self, columns: torch.Tensor) -> None:
        """From now on there are only these classes: logits are (B, K), and ``num_classes`` is K.

        So whoever takes a softmax, a norm or the logarithm of the number of classes takes it among them. The weights
        stay as they are.

        Args:
            columns: (K,) int64, the classes' labels in rising order, K >= 2.

        Raises:
            ValueError: fewer than two.
        """
        if len(columns) < 2:
            raise ValueError(f"a classifier needs at least two classes, not {len(columns)}")
        self.columns = columns.to(self.mean.device)
        self.num_classes = len(columns)

    def _of_columns(self, logits: torch.Tensor) -> torch.Tensor:
        return logits if self.columns is None else logits[:, self.columns]

    def view_line(self) -> str:
        """What is done to an image before the backbone sees it, for the log."""
        return str(self.source_view)

    def crop(self, images: Images) -> torch.Tensor:
        """(B, 3, S, S) in [0, 1]: the square that the backbone sees; cropped again, it stays as it is."""
        if len(images) == 0:
            return self.mean.new_empty(0, 3, self.image_size, self.image_size)
        return classifier_view(
            images,
            size=self.image_size,
            crop_pct=self.crop_pct,
            interpolation=self.interpolation,
            squash=self.squash,
            antialias=self.source_view.antialias,
        )

    def view(self, images: Images) -> torch.Tensor:
        """(B, 3, S, S): the crop, normalised with the backbone's mean and standard deviation."""
        return self._normalised(self.crop(images))

    def _normalised(self, cropped: torch.Tensor) -> torch.Tensor:
        view = (cropped - self.mean) / self.std
        return view.contiguous(memory_format=torch.channels_last) if self.channels_last else view

    def _autocast(self, view: torch.Tensor) -> AbstractContextManager:
        if self.autocast_dtype is None or view.is_meta:  # the meta device knows no autocast
            return nullcontext()
        # No cast of a weight may outlive its pass: the next one may come behind the optimizer's step.
        return torch.autocast(view.device.type, dtype=self.autocast_dtype, cache_enabled=False)

    def _logits(self, images: Images) -> torch.Tensor:
        return self._logits_of(self.view(images))

    def _logits_of(self, view: torch.Tensor) -> torch.Tensor:
        with self._autocast(view):
            logits = self.backbone(view)
        return self._of_columns(logits if self.autocast_dtype is None else logits.to(view.dtype))

    def forward(self, images: Images) -> torch.Tensor:
        """Logits (B, num_classes) of float RGB images in [0, 1]: (B, 3, H, W), or a list of (3, H, W)."""
        if len(images) == 1 and self.uses_batch_statistics:
            return self._single(images)
        return self._logits(images)

    def forward_resized(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images (B, 3, H, W) in [0, 1] that are taken at the size that they have."""
        return self._logits_of(self._normalised(images))

    def no_logits(self) -> torch.Tensor:
        """What :meth:`forward` returns for no images."""
        return self.mean.new_empty(0, self.num_classes)

    def _single(self, images: Images) -> torch.Tensor:
        try:
            return self._logits(images)
        except ValueError as error:  # where the feature map has shrunk to one pixel
            raise DataError(
                f"a batch of one image has no statistics for BatchNorm ({error}); choose data.batch_size so that no "
                f"batch has one image, or set classifier.batch_norm=source"
            ) from error

    def forward_features(self, images: Images) -> torch.Tensor:
        """The backbone's ``forward_features``: its last feature map or tokens, before pooling.

        Raises:
            ConfigError: it has none.
        """
        if not hasattr(self.backbone, "forward_features"):
            raise ConfigError(
                f"classifier: {type(self.backbone).__name__} has no forward_features and forward_head as timm's models "
                "have, which this method looks at; add them, or take another method"
            )
        view = self.view(images)
        with self._autocast(view):
            return self.backbone.forward_features(view)

    def forward_with_features(self, images: Images) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, num_classes) and the pooled features before the last layer (B, D)."""
        maps = self.forward_features(images)
        with self._autocast(maps):
            logits, pooled = self.backbone.forward_head(maps), self.backbone.forward_head(maps, pre_logits=True)
        logits, pooled = logits.to(self.mean.dtype), pooled.to(self.mean.dtype)
        return self._of_columns(logits), pooled

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether an image's logits depend on the rest of its batch (BatchNorm with the batch's statistics)."""
        return self.normalises_together and self.batch_norm == "batch" and any(True for _ in self._batch_norm_layers())

    def use_source_statistics(self) -> None:
        """From now on BatchNorm layers normalise with the stored source statistics."""
        self.batch_norm = "source"
        for layer in self._batch_norm_layers():
            layer.track_running_stats = True
        self.eval()

    def train(self, mode: bool = True) -> Classifier:
        """As usual, but BatchNorm layers that use the batch's statistics keep doing so in eval mode."""
        super().train(mode)
        if self.batch_norm == "batch":
            for layer in self._batch_norm_layers():
                layer.training = True
                layer.track_running_stats = False  # neither reads nor updates the stored statistics
        return self

    def _batch_norm_layers(self) -> Iterator[_BatchNorm]:
        return (module for module in self.backbone.modules() if isinstance(module, _BatchNorm))


def _number_of_classes(backbone: nn.Module) -> int:
    found = getattr(backbone, "num_classes", None)
    if found is None:
        raise ConfigError(
            f"num_classes: {type(backbone).__name__} does not say how many classes it has; "
            "Classifier(module, num_classes=..., view=...)"
        )
    return int(found)


def _own_view(backbone: nn.Module, image_size: int | None) -> View:
    """As the model itself says: what it does not say is never guessed."""
    if not getattr(backbone, "pretrained_cfg", None):
        raise ConfigError(
            f"view: how images are prepared for {type(backbone).__name__} is not known; "
            "Classifier(module, num_classes=..., view=declared_view(image_size=..., mean=..., std=...))"
        )
    return resolve_view(backbone, image_size=image_size)
