"""What a run's memory depends on: models without content, and a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

from dusa_ignite.methods.footprint import Footprint, SlidingWindows
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.segmentation.windows import sliding_windows


@dataclass(frozen=True)
class Shapes:
    """What is known of a run before anything is built.

    Attributes:
        classifier: on torch's meta device; ``None`` where it cannot be known.
        guide: likewise; ``None`` also where there is none.
        learns: whether any parameter changes.
        moments: numbers that the optimizer keeps per parameter that learns.
        footprint: what the method keeps, and how it makes its passes.
        averages_norms: whether norm layers are averaged.
        batch_size: images of an update, over all processes, >= 1.
        micro_batch_size: images in the graph at once, >= 1.
        monitored: whether a copy of the classifier predicts as the source model does.
        snapshots: states that are kept to go back to.
        background: whether checkpoints are written from a copy; ``None`` = where the models are on a GPU.
        sharded: whether the transformer is spread over the processes.
        ratio: of the sides of what the classifier sees, the longer over the shorter one, >= 1.
        unknown: what cannot be known, as ``key=value``.
    """

    classifier: Classifier | None
    guide: Guide | None
    learns: bool
    moments: int
    footprint: Footprint
    averages_norms: bool
    batch_size: int
    micro_batch_size: int
    monitored: bool
    snapshots: int
    background: bool | None
    sharded: bool
    ratio: float = 1.0
    unknown: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[int, int]:
        """Pixels of an image as the classifier sees it; none where it is not known."""
        if self.classifier is None:
            return 0, 0
        return sides_of(self.classifier.image_size, self.ratio)

    def pairs(self, classes: int) -> int:
        """How many pairs of window and class an image has, where the guide is asked about so many in each window."""
        if self.footprint.windows is None or self.classifier is None:
            return 0
        return pairs_of(self.footprint.windows, self.sides, classes=min(classes, self.classifier.num_classes))


def sides_of(short_side: int, ratio: float) -> tuple[int, int]:
    """(H, W) of an image with such a shorter side; whether it stands or lies makes no difference to memory."""
    return short_side, round(ratio * short_side)


def pairs_of(windows: SlidingWindows, sides: tuple[int, int], *, classes: int) -> int:
    """How many pairs of window and class an image has."""
    return classes * len(sliding_windows(*sides, size=windows.side, stride=windows.stride))
