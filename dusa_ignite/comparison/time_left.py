"""How long many runs will still take, from those that are finished."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean


class TimeLeft:
    """Seconds that runs took, by label, and what follows for those that are to come.

    A run takes as long as the mean of its label's finished ones; where there is none yet, as the mean of all.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def add(self, label: str, seconds: float) -> None:
        """Note a finished run."""
        self.seconds.setdefault(label, []).append(seconds)

    def estimate(self, labels: Sequence[str]) -> float | None:
        """Seconds for runs of these labels, one after the other; ``None`` before any run is finished."""
        everything = [value for values in self.seconds.values() for value in values]
        if not everything:
            return None
        return sum(mean(self.seconds.get(label, everything)) for label in labels)
