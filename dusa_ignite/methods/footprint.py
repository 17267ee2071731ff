"""What a method keeps in memory beside the models, for the estimate before a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class SlidingWindows(NamedTuple):
    """What of an image the guide is shown at a time, in pixels."""

    side: int
    stride: int


@dataclass(frozen=True)
class Footprint:
    """What a method's updates take. The estimate knows the models' sizes and measures their passes.

    Attributes:
        classifiers: whole copies of the classifier that are kept, such as teachers.
        trained: copies of the parameters that learn, such as their source values.
        images: that are kept as uint8, in the classifier's size.
        update_images: that an update learns from; ``None`` = the batch's.
        whole_batch: layers of BatchNorm, whichever statistics the config gives them, see all images at once.
        graphs: passes of the classifier whose graphs are held together, >= 1.
        guide_passes: predictions of the guide per image that it learns from.
        guide_share: the share of a micro-batch's images that have those, in (0, 1].
        guide_passes_alone: further ones, without a graph.
        through_guide: the gradient reaches the classifier through the guide, be that trained or not.
        windows: the guide sees windows of an image; ``guide_passes`` and ``guide_passes_alone`` are then those of a
            window, one per class, and a micro-batch is one of passes. Images come one by one.
        largest_scale: at which images are seen, one by one and without a graph.
    """

    classifiers: int = 0
    trained: int = 0
    images: int = 0
    update_images: int | None = None
    whole_batch: bool = False
    graphs: int = 1
    guide_passes: int = 0
    guide_share: float = 1.0
    guide_passes_alone: int = 0
    through_guide: bool = False
    windows: SlidingWindows | None = None
    largest_scale: float = 1.0

    @property
    def predictions(self) -> tuple[float, float]:
        """Predictions of the guide per image of an update, in the mean: with a graph, and without one.

        ``guide_passes_alone`` is for images that have none with a graph, where there are such images; those that have
        one spare as many.
        """
        with_graph = self.guide_share * self.guide_passes
        spared = with_graph if self.guide_share < 1 else 0.0
        return with_graph, self.guide_passes_alone - spared

    def guide_work(self, *, learns: bool = True) -> float:
        """An update's work for the guide, in forward passes per image; a way back is worth two of them.

        For K candidates, all with a graph, it is 3 K; for the sampled backward K + 2; where a share s of the images
        carries its gradient K + 2 s. The share is what was asked for: a batch has a whole number of such images.

        Args:
            learns: whether the guide's parameters do; if not, the way back is worth one pass where the gradient
                reaches the classifier through the guide, and there is none elsewhere.
        """
        with_graph, alone = self.predictions
        passes = 3 if learns else 2 if self.through_guide else 1
        return with_graph * passes + alone
