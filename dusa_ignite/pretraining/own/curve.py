"""How well a guide tells classes apart at each noise level: as a classifier, and by its loss."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.models.guides import Guide
from dusa_ignite.utils.seeding import derive_seed

TIMES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FORWARDS = 256  # images times candidates that go through the model at once


@dataclass(frozen=True)
class Curve:
    """What is measured.

    Attributes:
        t: noise levels, 0 = data .. 1 = noise.
        accuracy: of the candidate with the smallest error, in [0, 1], by ``t``.
        loss: mean squared error with the true class, by ``t``.
        chance: accuracy of guessing.
        images: how many were looked at.
        candidates: classes to choose from, per image.
    """

    t: tuple[float, ...]
    accuracy: tuple[float, ...]
    loss: tuple[float, ...]
    chance: float
    images: int
    candidates: int

    @property
    def best_t(self) -> float:
        """The noise level with the highest accuracy; of several the one in their middle, rounded down."""
        best = [t for t, accuracy in zip(self.t, self.accuracy, strict=True) if accuracy == max(self.accuracy)]
        return best[(len(best) - 1) // 2]

    @property
    def margin(self) -> float:
        """Half the width of the highest accuracy's 95 % interval (Agresti and Coull 1998): smaller differences say
        nothing.
        """
        share = (max(self.accuracy) * self.images + 2) / (self.images + 4)
        return 2 * (share * (1 - share) / (self.images + 4)) ** 0.5

    @property
    def tells_classes_apart(self) -> bool:
        """Whether the highest accuracy is above chance by more than its margin."""
        return max(self.accuracy) - self.margin > self.chance

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()},
            "best_t": self.best_t,
            "best_accuracy": max(self.accuracy),
            "margin": self.margin,
            "tells_classes_apart": self.tells_classes_apart,
        }

    def lines(self) -> str:
        """A table for the log."""
        cells = [
            "  ".join(f"{value:5.1f}" if kind == "accuracy" else f"{value:5.3g}" for value in values)
            for kind, values in (("t", self.t), ("accuracy", [100 * a for a in self.accuracy]), ("loss", self.loss))
        ]
        names = ("t", "accuracy", "loss")
        return "\n".join(f"  {name:9} {row}" for name, row in zip(names, cells, strict=True))


def candidates_of(labels: torch.Tensor, *, classes: int, count: int, seed: int) -> torch.Tensor:
    """(N, K) classes that a guide chooses among, in rising order: all, or the true one and others drawn for the image.

    In rising order, since of equal errors the first counts, and that must not be the true one's as a rule.
    """
    if classes <= count:
        return torch.arange(classes).expand(len(labels), classes)
    rows = []
    for position, label in enumerate(labels.tolist()):
        generator = torch.Generator().manual_seed(derive_seed(seed, "candidates", position))
        others = torch.randperm(classes - 1, generator=generator)[: count - 1]
        others = others + (others >= label).long()
        rows.append(torch.cat([torch.tensor([label]), others]).sort().values)
    return torch.stack(rows)


@torch.no_grad()
def measure_curve(
    guide: Guide, x0: torch.Tensor, labels: torch.Tensor, *, classes: int, candidates: int, seed: int
) -> Curve:
    """Measure a guide on clean images; each has one noise of its own, the same at every noise level.

    Args:
        guide: with the transformer to be measured, on the process's device.
        x0: (N, C, H, W) what the guide's ``encode`` returns, N >= 1; the same in all processes, which share the work.
        labels: (N,).
        classes: of the transformer.
        candidates: K, at most; see :func:`candidates_of`.
        seed: of noise and candidates.
    """
    among = candidates_of(labels, classes=classes, count=candidates, seed=seed)
    step = max(1, FORWARDS // among.shape[1])
    starts = range(step * idist.get_rank(), len(x0), step * idist.get_world_size())
    device = idist.device()
    sums = torch.zeros(2, len(TIMES), dtype=torch.float64, device=device)
    for start in starts:
        part = slice(start, start + step)
        images, own, chosen = x0[part].to(device), labels[part].to(device), among[part].to(device)
        noise = noise_of(range(start, start + len(images)), tuple(images.shape[1:]), seed=seed).to(images)
        for number, t in enumerate(TIMES):
            x_t, target, model_time = guide.path(images, noise, images.new_full((len(images),), t))
            predicted = guide.predict(x_t, model_time, chosen)
            errors = (predicted - target[:, None]).square().mean(dim=(2, 3, 4))
            best = chosen.gather(1, errors.argmin(dim=1, keepdim=True))[:, 0]
            sums[0, number] += (best == own).sum()
            sums[1, number] += errors[chosen == own[:, None]].double().sum()
    totals = global_sums(sums.flatten())
    right, loss = totals[: len(TIMES)], totals[len(TIMES) :]
    return Curve(
        t=TIMES,
        accuracy=tuple(value / len(x0) for value in right),
        loss=tuple(value / len(x0) for value in loss),
        chance=1 / among.shape[1],
        images=len(x0),
        candidates=among.shape[1],
    )


def noise_of(numbers: range, shape: tuple[int, ...], *, seed: int) -> torch.Tensor:
    """(len, *shape) standard normal noise, each image's keyed by (seed, number)."""
    generators = (torch.Generator().manual_seed(derive_seed(seed, "validation noise", number)) for number in numbers)
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])
