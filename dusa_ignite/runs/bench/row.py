"""What was measured of one variant."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """One variant's line of the table.

    Attributes:
        name: of the variant.
        overrides: of the config that make it.
        error: why there are no numbers; empty where there are.
        batch_size, micro_batch_size: images.
        guide_work: in forward passes of the guide per image, see
            :meth:`dusa_ignite.methods.footprint.Footprint.guide_work`.
        tflop_per_image: operations of an update that have to be computed, in 1e12.
        precision: whose matrix product is the ceiling: the guide's, or the classifier's where there is no guide.
        first_update: seconds of the very first update.
        seconds: of an update: median, first and third quartile.
        updates: that these are of.
        images_per_second: median, first and third quartile.
        ceiling: operations per second of the matrix product, the median of one after every update.
        of_ceiling: the share of these that the update reaches.
        peak_memory: bytes, while the updates were made.
        estimate: bytes that the estimate before a run comes to.
        trained_parameters: how many.
        loss, loss_difference, gradient_differences: of the first update; relative to those of ``shipped``.
    """

    name: str
    overrides: tuple[str, ...] = ()
    error: str = ""
    batch_size: int = 0
    micro_batch_size: int = 0
    guide_work: float | None = None
    tflop_per_image: float | None = None
    precision: str = ""
    first_update: float | None = None
    seconds: tuple[float, float, float] | None = None
    updates: int = 0
    images_per_second: tuple[float, float, float] | None = None
    ceiling: float | None = None
    of_ceiling: float | None = None
    peak_memory: int | None = None
    estimate: int | None = None
    trained_parameters: int = 0
    loss: float | None = None
    loss_difference: float | None = None
    gradient_differences: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return asdict(self)
