"""What a run's memory depends on: models without content, and a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.models import Classifier, Guide


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
    unknown: tuple[str, ...] = ()
