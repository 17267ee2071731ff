"""The models of a variant and its update, built as a run builds them, and a batch of noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.config import Config
from dusa_ignite.engine import Batch
from dusa_ignite.handlers import HarmMonitor
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.precision import autocast_dtype, half_precision, model_dtype
from dusa_ignite.runs import assemble, assemble_models
from dusa_ignite.runs.bench.textbook import Textbook
from dusa_ignite.runs.parallel import fit_for_processes


@dataclass
class Built:
    """What an update is made of."""

    classifier: Classifier
    guide: Guide | None
    optimizer: Any
    method: Any
    monitor: HarmMonitor | None
    batch: Batch


def build(config: Config, *, pixels: int, textbook: bool) -> Built:
    """Build it on the device, random weights there too: the same ones for the same sizes, whatever else a config says.

    Args:
        config: with a number for ``data.micro_batch_size``.
        pixels: the side of the random images.
        textbook: the textbook's update, not the method's own.

    Raises:
        UserError: something in the config cannot be used.
    """
    assemble.set_up(config)
    with torch.device(idist.device()):  # random weights are drawn there: a GPU takes no time for them
        classifier, guide = assemble_models.classifier_of(config), assemble_models.guide_of(config)
    if guide is not None and config.transformer is not None and config.transformer.checkpoint == "random":
        fill_zeros(guide.transformer)
    if idist.get_world_size() > 1:
        sharded = config.distributed.strategy == "fsdp"
        fit_for_processes(classifier, guide, smallest_batch=config.data.batch_size, sharded=sharded)
    assemble_models.compile_models(config, classifier, guide)
    optimizer = assemble_models.optimizer_of(config, classifier, guide)
    method = assemble_models.method_of(config, classifier, guide, optimizer)
    monitor = assemble_models.monitor_of(config, classifier)
    batch = random_batch(config.data.batch_size, pixels=pixels)
    return Built(classifier, guide, optimizer, Textbook(method) if textbook else method, monitor, batch)


@torch.no_grad()
def fill_zeros(model: torch.nn.Module) -> None:
    """Give values to parameters that start as zeros: behind the zero gates of a new transformer no gradient arrives."""
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(std=0.02)


def random_batch(count: int, *, pixels: int) -> Batch:
    """This process's share of a batch of noise, which is always the same."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, pixels, pixels), dtype=torch.uint8, generator=generator)
    own = torch.arange(count).tensor_split(idist.get_world_size())[idist.get_rank()]
    return {
        "images": images[own],
        "labels": torch.zeros(len(own), dtype=torch.int64),
        "index": own,
        "task": "noise",
        "first": True,
        "last": True,
        "unreadable": [],
    }


def guide_precision(config: Config) -> str:
    """Which matrix product is the ceiling of the guide's work: ``float32``, ``tf32``, ``bfloat16``, ..."""
    return _precision(config, autocast_dtype(config.run.precision))


def classifier_precision(config: Config) -> str:
    """The same for the classifier's."""
    return _precision(config, half_precision(config.classifier.precision))


def _precision(config: Config, half: torch.dtype | None) -> str:
    name = str(half or model_dtype(config.run.precision)).removeprefix("torch.")
    return "tf32" if name == "float32" and config.run.tf32 and idist.device().type == "cuda" else name
