"""Signs, without labels, that adaptation does harm: numbers over the last images of a stream."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

import torch

from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.engine import Output

COUNTS = ("images", "updates", "skipped", "rated", "auc", "auc_squares", "changed", "won")  # of a batch
NAN = math.nan
Z95, Z99 = 1.959964, 2.575829  # of the standard normal distribution: so much of it lies within +- Z


class Signals(NamedTuple):
    """What windows say; NaN where it cannot be said.

    Attributes:
        guide_auc: how often the guide's error is smaller for one of the classifier's favourites than for a drawn class.
        guide_auc_low: lower end of its 95 % interval over images.
        top_share: share of the predictions that the most frequent class takes.
        source_top_share: the same of the source model's predictions for the same images.
        class_ratio: the number of classes predicted, as exp(entropy of their shares), over the source model's.
        changed: share of the images for which the class has changed since the source model and the guide was asked
            about both classes.
        vote: for how many of these the guide's error is smaller for the new class than for the source model's.
        vote_high: upper end of its 99 % interval (Wilson's).
        skipped: share of updates that were not applied.
    """

    guide_auc: float = NAN
    guide_auc_low: float = NAN
    top_share: float = NAN
    source_top_share: float = NAN
    class_ratio: float = NAN
    changed: float = NAN
    vote: float = NAN
    vote_high: float = NAN
    skipped: float = NAN


class HarmWindow:
    """Sums over the newest batches that hold at least ``size`` images.

    Args:
        size: images, >= 1.
        length: of a batch's sums, see :func:`batch_sums`.
    """

    def __init__(self, *, size: int, length: int) -> None:
        self.size = size
        self.length = length
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.batches: deque[torch.Tensor] = deque()
        self.sums = torch.zeros(self.length, dtype=torch.float64)

    @property
    def images(self) -> int:
        """How many the window holds."""
        return int(self.sums[0])

    def add(self, batch: torch.Tensor) -> None:
        """Add a batch's sums, and forget the oldest ones that are not needed any more."""
        self.batches.append(batch)
        self.sums += batch
        while self.images - int(self.batches[0][0]) >= self.size:
            self.sums -= self.batches.popleft()

    def state_dict(self) -> dict[str, Any]:
        """The batches' sums, and theirs: added up anew, they would differ in the last digit."""
        return {"batches": [batch.clone() for batch in self.batches], "sums": self.sums.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.batches = deque(batch.clone() for batch in state["batches"])
        self.sums = state["sums"].clone()


def batch_sums(output: Output, num_classes: int) -> torch.Tensor:
    """What a window adds up of a global batch; all processes must call it.

    Args:
        output: of an update, with ``source_y_pred``.
        num_classes: C.

    Returns:
        (8 + 2 C,) float64 on the CPU: :data:`COUNTS`, then how often each class was predicted, and by
        the source model; in segmentation in shares of an image's places.
    """
    predicted, by_source = output["y_pred"].argmax(dim=1), output["source_y_pred"].argmax(dim=1)
    changed, won = _votes(output, predicted, by_source)
    counts = torch.zeros(2, num_classes, dtype=torch.float64, device=predicted.device)
    share = 1 / max(predicted.shape[1:].numel(), 1)  # in segmentation the places of an image count as much as an image
    counts[0].index_add_(0, predicted.flatten(), torch.full_like(predicted, share, dtype=torch.float64).flatten())
    counts[1].index_add_(0, by_source.flatten(), torch.full_like(by_source, share, dtype=torch.float64).flatten())
    own = torch.cat([counts.new_tensor([len(predicted)]), torch.stack([changed, won]).to(counts), counts.flatten()])
    images, all_changed, all_won, *all_counts = global_sums(own)
    diagnostics = output["diagnostics"]  # they are those of the global batch already
    auc, spread = diagnostics.get("auc", math.nan), diagnostics.get("auc_std", math.nan)
    rated = images if math.isfinite(auc) else 0.0
    squares = rated * (auc**2 + spread**2) if rated else 0.0
    skipped = diagnostics.get("skipped_update", 0.0)
    return torch.tensor(
        [images, 1.0, skipped, rated, rated * auc if rated else 0.0, squares, all_changed, all_won, *all_counts],
        dtype=torch.float64,
    )


def _votes(output: Output, predicted: torch.Tensor, by_source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of how many images the class has changed while the guide was asked about both, and how often it prefers the new.

    An error that is equal counts half.
    """
    if "candidates" not in output:
        return predicted.new_zeros(()).double(), predicted.new_zeros(()).double()
    candidates, errors = output["candidates"], output["candidate_errors"].double()
    new, old = candidates == predicted[:, None], candidates == by_source[:, None]
    asked = (predicted != by_source) & new.any(dim=1) & old.any(dim=1)
    difference = (errors * old).sum(dim=1) - (errors * new).sum(dim=1)
    return asked.sum().double(), ((difference.sign() + 1) / 2)[asked].sum()


def signals(recent: torch.Tensor, long: torch.Tensor) -> Signals:
    """What two windows' sums say.

    Args:
        recent: (8 + 2 C,) of the newest images, at least one; all but the vote is about these.
        long: likewise, or their first 8, of more images: the vote needs them, as few change their class.
    """
    now, then = (dict(zip(COUNTS, sums.tolist(), strict=False)) for sums in (recent, long))
    predicted, by_source = recent[len(COUNTS) :].view(2, -1) / now["images"]
    return Signals(
        *_mean_and_low(now["auc"], now["auc_squares"], now["rated"]),
        top_share=float(predicted.max()),
        source_top_share=float(by_source.max()),
        class_ratio=_number_of_classes(predicted) / _number_of_classes(by_source),
        changed=then["changed"] / then["images"],
        vote=then["won"] / then["changed"] if then["changed"] else NAN,
        vote_high=_share_high(then["won"], then["changed"]),
        skipped=now["skipped"] / now["updates"],
    )


def _number_of_classes(shares: torch.Tensor) -> float:
    """exp(entropy): C where C classes are equally frequent, 1 where there is one."""
    return math.exp(-float(torch.xlogy(shares, shares).sum()))


def _mean_and_low(total: float, squares: float, count: float) -> tuple[float, float]:
    """A mean, and the lower end of its 95 % interval."""
    if not count:
        return NAN, NAN
    mean = total / count
    return mean, mean - Z95 * math.sqrt(max(squares / count - mean**2, 0.0) / count)


def _share_high(won: float, count: float) -> float:
    """The upper end of a share's 99 % interval (Wilson 1927): it keeps its width where nobody has won."""
    if not count:
        return NAN
    share = won / count
    half = Z99 * math.sqrt(share * (1 - share) / count + Z99**2 / (4 * count**2))
    return (share + Z99**2 / (2 * count) + half) / (1 + Z99**2 / count)
