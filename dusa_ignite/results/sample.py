"""A few of a run's images, drawn fairly and always the same ones."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from dusa_ignite.utils.seeding import derive_seed

Item = TypeVar("Item")


class Sample(Generic[Item]):
    """Keeps up to so many items, drawn by a hash of task and position: a fair sample, and the same images in every run
    that has them.

    Args:
        most: items.

    Attributes:
        count: of how many they are drawn.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self.kept: list[tuple[int, int, Item]] = []

    def add(self, task: str, position: int, item: Item) -> None:
        """One more."""
        self.count += 1
        entry = (-derive_seed("report", task, position), self.count, item)
        if len(self.kept) < self.most:
            heapq.heappush(self.kept, entry)
        else:
            heapq.heappushpop(self.kept, entry)

    @property
    def items(self) -> list[Item]:
        """Those kept, in the order in which they came."""
        return [item for _, _, item in sorted(self.kept, key=lambda entry: entry[1])]
