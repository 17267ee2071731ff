"""A look at clean images before the first update: does the classifier know them, and does the guide?

A wrong view, wrong weights or another order of the classes shows here at once, as a number far below what the models
are known for. Nothing is drawn from a global generator, and nothing is changed: a run's results are the same without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch

from dusa_ignite.data.clean import CleanDigits, drawn_evenly
from dusa_ignite.data.pixels import what_is_wrong
from dusa_ignite.data.stream import stack_images
from dusa_ignite.data.task import LabelledImages
from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.methods.draws import draw_batch
from dusa_ignite.methods.guided import noised
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.forward import predict, slices
from dusa_ignite.models.guides import TimeSampler
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import derive_seed, numpy_generator

CANDIDATES = 10  # classes that the guide is asked about, an image's own among them


@dataclass(frozen=True)
class CleanResult:
    """What was measured on clean images.

    Attributes:
        images: how many.
        classifier: share of them that the classifier gets right, 0 .. 1.
        guide: share whose own class has the smallest error among the guide's, 0 .. 1; ``None`` = there is no guide.
        candidates: classes that the guide was asked about for each image.
    """

    images: int
    classifier: float
    guide: float | None = None
    candidates: int = CANDIDATES

    def describe(self) -> dict[str, Any]:
        """For run.json."""
        if self.guide is None:
            return {"images": self.images, "classifier": self.classifier}
        return {**asdict(self), "chance": 1 / self.candidates}

    def __str__(self) -> str:
        line = f"clean images: classifier {100 * self.classifier:.1f} % of {self.images}"
        if self.guide is None:
            return line
        among = f"among {self.candidates} classes (chance {100 / self.candidates:.1f} %)"
        return f"{line}; guide {100 * self.guide:.1f} % {among}"

    def check(self, minimum: float | None) -> None:
        """Raise if the classifier's accuracy is below a minimum, 0 .. 1; ``None`` = any will do.

        Raises:
            ConfigError: it is; the message says where to look.
        """
        if minimum is not None and self.classifier < minimum:
            raise ConfigError(
                f"data.clean_minimum: the classifier gets {100 * self.classifier:.1f} % of {self.images} clean images "
                f"right, less than {100 * minimum:.1f} %; look at classifier.view (size, crop, mean and std), "
                "data.classes (their order) and classifier.checkpoint, or lower the minimum"
            )


@torch.no_grad()
def measure_clean(
    dataset: CleanDigits | LabelledImages,
    *,
    number: int,
    classifier: Classifier,
    guide: Guide | None,
    time: TimeSampler,
    seed: int,
    batch_size: int,
    micro_batch_size: int,
    skip_unreadable: bool = False,
) -> CleanResult:
    """Accuracies of classifier and guide on clean images; every process has to call it, before the guide is sharded.

    Each process takes whole batches, in turn, so that the result does not depend on how many there are.

    Args:
        dataset: clean images, their labels the classifier's.
        number: images drawn, >= 1, see :func:`dusa_ignite.data.clean.drawn_evenly`.
        classifier: with its source weights, in eval mode.
        guide: likewise; ``None`` = there is none. It sees each image once, under noise and at a time that are the
            image's own, and is asked about its class and others drawn for it, 10 in all, or all classes if fewer.
        time: draws the noise level.
        seed: of all draws.
        batch_size: images that share the batch's statistics, where the classifier's BatchNorm takes them; >= 1.
        micro_batch_size: images computed at once, >= 1; no effect on results.
        skip_unreadable: leave out images that cannot be read.

    Raises:
        DataError: an image cannot be read, or none can.
    """
    chosen = drawn_evenly(dataset.labels, number=number, seed=seed)
    batches = np.array_split(chosen, math.ceil(len(chosen) / batch_size))  # none much smaller than the others
    candidates = min(CANDIDATES, classifier.num_classes)
    device, dtype = classifier.mean.device, next(classifier.parameters()).dtype
    sums = torch.zeros(3, dtype=torch.float64, device=device)  # images, right by the classifier, right by the guide
    for positions in batches[idist.get_rank() :: idist.get_world_size()]:
        kept, pixels, labels = _read(dataset, positions.tolist(), skip_unreadable=skip_unreadable)
        if not kept:
            continue
        images = to_float(pixels, device=device, dtype=dtype)
        targets = torch.tensor(labels, device=device)
        logits = predict(classifier, images, micro_batch_size=micro_batch_size)
        sums += torch.stack([sums.new_tensor(len(kept)), (logits.argmax(dim=1) == targets).sum(), sums.new_zeros(())])
        if guide is None:
            continue
        for part in slices(len(kept), micro_batch_size):
            classes = candidate_classes(
                kept[part], labels[part], num_classes=classifier.num_classes, number=candidates, seed=seed
            ).to(device)
            errors = guide_errors(guide, images[part], classes, kept[part], time=time, seed=seed)
            sums[2] += own_is_smallest(errors).sum()
    count, right, right_by_guide = global_sums(sums)
    if not count:
        raise DataError("data.clean_root: none of the clean images can be read")
    shares = (right / count, None if guide is None else right_by_guide / count)
    return CleanResult(int(count), shares[0], shares[1], candidates)


def candidate_classes(
    positions: Sequence[int], labels: Sequence[int], *, num_classes: int, number: int, seed: int
) -> torch.Tensor:
    """(B, K) int64: each image's own class first, then others, drawn for the image.

    Args:
        positions: of the images in their data set.
        labels: their classes.
        num_classes: C.
        number: K, 1 .. C.
        seed: of the draw.
    """
    rows = []
    for position, label in zip(positions, labels, strict=True):
        drawn = numpy_generator(seed, "clean", "classes", position).permutation(num_classes - 1)[: number - 1]
        rows.append([label, *(drawn + (drawn >= label)).tolist()])
    return torch.tensor(rows, dtype=torch.int64)


def guide_errors(
    guide: Guide,
    images: Images,
    classes: torch.Tensor,
    positions: Sequence[int],
    *,
    time: TimeSampler,
    seed: int,
) -> torch.Tensor:
    """(B, K) mean squared errors of the guide's predictions for each image's classes.

    Args:
        guide: in eval mode.
        images: B of them, float RGB in [0, 1].
        classes: (B, K) int64.
        positions: of the images in their data set; with the seed they fix noise and time.
        time: draws the noise level.
        seed: of all draws.
    """
    generators = [torch.Generator().manual_seed(derive_seed(seed, "clean", "noise", number)) for number in positions]
    draws = draw_batch(
        generators, time=time, shape=guide.latent_shape, num_samples=1, num_gumbel=0, device=classes.device
    )
    x_t, target, model_time = noised(guide, images, draws)
    predictions = guide.predict(x_t, model_time, classes)
    return (predictions - target[:, None]).square().flatten(2).mean(dim=2)


def own_is_smallest(errors: torch.Tensor) -> torch.Tensor:
    """(B,) float64: 1 where the first of a row's errors (B, K) is the smallest, 1/m where m are equally small.

    So a guide that has not been trained, whose predictions are equal for all classes, is at chance.
    """
    own = errors[:, :1]
    ties = (errors == own).sum(dim=1).clamp(min=1)  # NaN is not equal to itself
    return (own <= errors).all(dim=1).double() / ties


def _read(
    dataset: CleanDigits | LabelledImages, positions: Sequence[int], *, skip_unreadable: bool
) -> tuple[list[int], Images, list[int]]:
    """Positions, images and labels of those that can be read."""
    kept, images, labels = [], [], []
    for position in positions:
        try:
            image, label = dataset[position]
            wrong = what_is_wrong(image)
            if wrong:
                raise DataError(f"clean image {position}: {wrong}")
        except DataError:
            if not skip_unreadable:
                raise
            continue
        kept.append(position)
        images.append(image)
        labels.append(label)
    return kept, stack_images(images), labels
