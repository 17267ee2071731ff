"""How much memory a run will take, from shapes alone, before anything is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.models.model_memory import bytes_of, trained, weights
from dusa_ignite.models.norms import norm_parameters
from dusa_ignite.runs.activations import most_at_once
from dusa_ignite.runs.assemble_shapes import shapes_of
from dusa_ignite.runs.shapes import Shapes
from dusa_ignite.utils.memory import free_memory, readable

GATHERED_BLOCKS = 2  # of a sharded transformer: the one at work, and the next


@dataclass(frozen=True)
class Need:
    """What a run takes of one kind of memory.

    Attributes:
        where: ``on the GPU`` (each process has its own), ``on the CPU`` or ``in host memory`` (all processes together).
        parts: bytes by what they are for.
        free: bytes, before anything is built; ``None`` where nobody says.
    """

    where: str
    parts: Mapping[str, int]
    free: int | None

    @property
    def total(self) -> int:
        """Bytes of all parts together."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether as much is free, as far as is known."""
        return self.free is None or self.total <= self.free

    def __str__(self) -> str:
        unit = 2**30 if self.total >= 2**30 else 2**20
        shown = [f"{name} {size / unit:.1f}" for name, size in self.parts.items() if size >= unit / 20]
        spare = f", {readable(self.free)} free" if self.free is not None else ""
        return f"{readable(self.total)} {self.where}" + (f" ({', '.join(shown)})" if shown else "") + spare


@dataclass(frozen=True)
class Memory:
    """What a run takes: where the models compute, and in host memory where that is another.

    Attributes:
        needs: the device's first.
        unknown: what is not part of them, as ``key=value``.
    """

    needs: tuple[Need, ...]
    unknown: tuple[str, ...] = ()

    @property
    def parts(self) -> Mapping[str, int]:
        """The device's, in bytes."""
        return self.needs[0].parts

    @property
    def total(self) -> int:
        """Bytes on the device."""
        return self.needs[0].total

    @property
    def free(self) -> int | None:
        """Bytes free on the device, if that is known."""
        return self.needs[0].free

    @property
    def fits(self) -> bool:
        """Whether all of it fits."""
        return all(need.fits for need in self.needs)

    def __str__(self) -> str:
        unknown = f"; without {', '.join(self.unknown)}, which cannot be known before" if self.unknown else ""
        return f"memory: about {'; '.join(map(str, self.needs))}{unknown}"


def memory_of(config: Config, *, whole_run: bool = True) -> Memory:
    """Estimate what a run takes besides the program itself, in this process's place among the others.

    Args:
        config: the whole; nothing of it is loaded or built.
        whole_run: ``False`` = an update alone, without what resets and checkpoints keep.
    """
    shapes = shapes_of(config)
    unknown = list(shapes.unknown)
    on_gpu, processes = idist.device().type == "cuda", idist.get_nproc_per_node()
    update, kept = update_parts(shapes, processes=idist.get_world_size(), unknown=unknown), {}
    if whole_run:
        background = on_gpu if shapes.background is None else shapes.background
        kept = kept_parts(shapes, processes=processes, background=background)
    if not on_gpu:
        parts = {name: size * processes for name, size in update.items()} | kept
        return Memory((Need("on the CPU", parts, free_memory()),), tuple(unknown))
    built = {"weights until they are on the GPU": processes * model_bytes(shapes)}
    host = max(built, kept, key=lambda parts: sum(parts.values()))
    free, _ = torch.cuda.mem_get_info(idist.device())
    return Memory((Need("on the GPU", update, free), Need("in host memory", host, free_memory())), tuple(unknown))


def model_bytes(shapes: Shapes) -> int:
    """All weights, unsharded."""
    return sum(bytes_of(weights(model)) for model in (shapes.classifier, shapes.guide) if model is not None)


def kept_parts(shapes: Shapes, *, processes: int, background: bool) -> dict[str, int]:
    """What resets and checkpoints keep in host memory, of all processes of a machine."""
    classifier, guide, footprint = shapes.classifier, shapes.guide, shapes.footprint
    own, guides = _gradients(shapes)
    buffers = bytes_of(classifier.buffers()) if classifier else 0
    teachers = footprint.classifiers * own
    parts = {}
    if shapes.snapshots:
        parts["snapshots"] = processes * shapes.snapshots * (own + guides + buffers + teachers)
    if background and shapes.learns:
        models = model_bytes(shapes) - (bytes_of(weights(guide.vae)) if guide and guide.vae else 0)
        parts["checkpoint copy"] = models + shapes.moments * (own + guides) + teachers
    return parts


def update_parts(shapes: Shapes, *, processes: int, unknown: list[str]) -> dict[str, int]:
    """What one of so many processes holds on its device while it makes an update.

    ``activations`` are what comes on top of everything else at the worst moment; what cannot be measured of them is
    added to ``unknown``.
    """
    classifier, guide, footprint = shapes.classifier, shapes.guide, shapes.footprint
    share = math.ceil(shapes.batch_size / processes)
    shards = processes if shapes.sharded else 1
    own, guides = _gradients(shapes)
    guides //= shards
    own_weights = bytes_of(weights(classifier)) if classifier else 0
    guide_weights = 0
    if guide is not None:
        transformer = bytes_of(weights(guide.transformer))
        guide_weights = bytes_of(weights(guide)) - transformer + transformer // shards
        guide_weights += _gathered(guide.transformer) if shards > 1 else 0
    norms = bytes_of(norm_parameters(classifier).values()) if classifier and shapes.averages_norms else 0
    pixels = 3 * math.prod(shapes.sides)
    float_size = next(classifier.parameters()).element_size() if classifier else 4
    whole = footprint.classifiers + shapes.monitored
    copies = whole * own_weights + footprint.trained * own + norms + footprint.images * pixels
    gradients = own + guides
    return {
        "weights": own_weights + guide_weights,
        "gradients": gradients,
        "optimizer": shapes.moments * gradients,
        "activations": most_at_once(shapes, share, own=own, guides=guides, unknown=unknown) - gradients,
        "copies": copies,
        "batch": share * pixels * (1 + 2 * float_size),  # as bytes, as floats and as the classifier's view
    }


def _gradients(shapes: Shapes) -> tuple[int, int]:
    """Of the classifier and of the transformer, unsharded."""
    if not shapes.learns:
        return 0, 0
    classifier, guide = shapes.classifier, shapes.guide
    return bytes_of(trained(classifier)) if classifier else 0, bytes_of(trained(guide.transformer)) if guide else 0


def _gathered(transformer: torch.nn.Module) -> int:
    blocks = [bytes_of(weights(block)) for block in transformer.get_submodule("blocks").children()]
    return GATHERED_BLOCKS * max(blocks, default=0)
