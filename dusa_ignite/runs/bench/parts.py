"""The parts of an update, each alone: time, operations, and the share of the machine's ceiling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.methods.guided import GuidedMethod
from dusa_ignite.models import Guide
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.runs.bench.flops import Flops, flops_of, footprint_of
from dusa_ignite.runs.bench.machine import CeilingNow
from dusa_ignite.runs.bench.models import Built, classifier_precision, guide_precision
from dusa_ignite.runs.bench.timing import repeated
from dusa_ignite.utils.seeding import sample_generators


@dataclass(frozen=True)
class Part:
    """One of them.

    Attributes:
        variant: whose models it was measured with.
        name: of the part.
        images: that it was measured with.
        seconds: the median.
        tflop: operations of all of it, in 1e12; 0 where none are counted.
        of_ceiling: the share of the operations per second of the matrix product in the part's precision, the median of
            one after every repetition.
    """

    variant: str
    name: str
    images: int
    seconds: float
    tflop: float = 0.0
    of_ceiling: float | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return asdict(self)


def measure_parts(config: Config, built: Built, *, variant: str, size: str, limit: float) -> list[Part]:
    """Every part of an update with a micro-batch of images; draws and the monitor's pass with the whole batch.

    Args:
        config: of the variant.
        built: its models; gradients are left over.
        variant: its name.
        size: of the matrices whose product is the ceiling.
        limit: seconds for each part, after one that is not counted.
    """
    flops, count = flops_of(config), min(int(config.data.micro_batch_size), config.data.batch_size)
    parameter = next(built.classifier.parameters())
    images = to_float(built.batch["images"][:count], device=parameter.device, dtype=parameter.dtype)
    candidates = round(sum(footprint_of(config).predictions))

    def part(name: str, action: Callable[[], Any], n: int, per_image: float, precision: str) -> Part:
        action()
        ceiling = CeilingNow(precision, parameter.device, size=size)
        taken = repeated(action, limit=limit, between=ceiling.measure).median
        share = n * per_image / taken / ceiling.median if per_image else None
        return Part(variant, name, n, taken, n * per_image / 1e12, share)

    parts = []
    own, of_guide = classifier_precision(config), guide_precision(config)

    def learn() -> None:
        logits = built.classifier(images)
        if logits.requires_grad:
            logits.square().mean().backward()

    parts.append(part("classifier, with its gradient", learn, count, flops.classifier, own))
    if built.guide is not None:
        for name, action, per_image in guide_parts(built.guide, images, flops, candidates):
            parts.append(part(name, action, count, per_image, of_guide))
    if isinstance(built.method, GuidedMethod):
        generators = sample_generators(config.seed, built.batch["task"], built.batch["index"])
        parts.append(part("draws", lambda: built.method.draw(generators), config.data.batch_size, 0, own))
    if built.optimizer is not None:
        parts.append(part("optimizer's step", built.optimizer.step, config.data.batch_size, 0, own))
        built.optimizer.zero_grad(set_to_none=True)
    if built.monitor is not None:
        looked, whole = built.monitor, config.data.batch_size
        action = lambda: looked.source_logits(built.batch)  # noqa: E731
        parts.append(part("monitor, the source model's pass", action, whole, flops.classifier_alone, own))
    return parts


def guide_parts(
    guide: Guide, images: Images, flops: Flops, candidates: int
) -> Iterator[tuple[str, Callable[[], Any], float]]:
    """Name, action and operations per image of what the guide does in an update."""
    count, some = len(images), images[0]
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(count, *guide.latent_shape, generator=generator).to(some)
    time = torch.full((count,), 0.25, device=some.device, dtype=some.dtype)
    classes = torch.zeros(count, max(candidates, 1), dtype=torch.int64, device=some.device)

    def alone() -> None:
        with torch.no_grad():
            guide.predict(x_t, time, classes)

    def learn() -> None:
        with guide.weights_cast_once(idist.device()):
            predicted = guide.predict(x_t, time, classes[:, :1])
            if predicted.requires_grad:
                predicted.square().mean().backward()

    if guide.vae is not None:
        yield "VAE encodes", lambda: guide.encode(images), flops.encoding
    yield f"{classes.shape[1]} candidates, without a graph", alone, classes.shape[1] * flops.candidate_alone
    yield "one candidate, with its gradient", learn, flops.candidate
