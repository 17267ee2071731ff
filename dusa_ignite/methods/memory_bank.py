"""RoTTA's memory bank: recent, certain images of all classes (Yuan et al., CVPR 2023, arXiv 2303.13899)."""

from __future__ import annotations

import math
from typing import Any

import torch


class MemoryBank:
    """Images with pseudo-label, age (in images seen since) and uncertainty (entropy in nats), in order of arrival."""

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []
        self.labels: list[int] = []
        self.ages: list[int] = []
        self.uncertainties: list[float] = []

    def __len__(self) -> int:
        return len(self.images)

    def add(
        self,
        image: torch.Tensor,
        label: int,
        uncertainty: float,
        *,
        capacity: int,
        num_classes: int,
        lambda_t: float,
        lambda_u: float,
    ) -> bool:
        """Offer an image; all that are kept grow older by one.

        A class that has its share, capacity / num_classes, gives up an image of its own for the new one; where the bank
        is full, the largest classes do. The one that goes has the largest score
        lambda_t / (1 + exp(-age / capacity)) + lambda_u * uncertainty / ln(num_classes); if that is not
        larger than the new image's, the new one is not taken.

        Args:
            image: (3, S, S) uint8.
            label: the teacher's class.
            uncertainty: entropy of its prediction, >= 0, in nats.
            capacity: images kept at most, >= 1.
            num_classes: >= 2.
            lambda_t, lambda_u: weights of timeliness and uncertainty.

        Returns:
            Whether it was taken.
        """

        def score(age: int, entropy: float) -> float:
            return lambda_t / (1 + math.exp(-age / capacity)) + lambda_u * entropy / math.log(num_classes)

        rivals = self._rivals(label, capacity=capacity, num_classes=num_classes)
        taken = not rivals
        if rivals:
            scores = {i: score(self.ages[i], self.uncertainties[i]) for i in rivals}
            worst = max(rivals, key=scores.__getitem__)
            taken = scores[worst] > score(0, uncertainty)
            if taken:
                for column in (self.images, self.labels, self.ages, self.uncertainties):
                    del column[worst]
        if taken:
            self.images.append(image)
            self.labels.append(label)
            self.ages.append(0)
            self.uncertainties.append(uncertainty)
        self.ages = [age + 1 for age in self.ages]
        return taken

    def _rivals(self, label: int, *, capacity: int, num_classes: int) -> list[int]:
        """Positions of which one has to go if an image of this class is to be taken; empty where there is room."""
        counts = {kept: self.labels.count(kept) for kept in self.labels}
        if counts.get(label, 0) >= capacity / num_classes:
            classes = {label}
        elif len(self) >= capacity:
            classes = {kept for kept, count in counts.items() if count == max(counts.values())}
        else:
            classes = set()
        return [i for i, kept in enumerate(self.labels) if kept in classes]

    def state_dict(self) -> dict[str, Any]:
        """All columns."""
        return {
            "images": torch.stack(self.images) if self.images else torch.empty(0, dtype=torch.uint8),
            "labels": list(self.labels),
            "ages": list(self.ages),
            "uncertainties": list(self.uncertainties),
        }

    def load_state_dict(self, state: dict[str, Any], *, device: torch.device) -> None:
        """Copy all columns; images go to the device."""
        self.images = list(state["images"].to(device, copy=True))
        self.labels = list(state["labels"])
        self.ages = list(state["ages"])
        self.uncertainties = list(state["uncertainties"])
