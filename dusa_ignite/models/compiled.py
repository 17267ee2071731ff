"""torch.compile for the blocks that take an update's time: the guide's transformer, the VAE's encoder, the classifier.

Blocks are compiled in place (``Module.compile``), so parameters keep their names, and whatever looks at the modules,
as checkpoints, resets and exports do, sees no difference. Shapes are static: a piece that is smaller than one that has
been seen, as the last micro-batch of a batch may be, runs eagerly, as compiling for it would take longer than it does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dusa_ignite.errors import ConfigError
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guides import Guide

logger = logging.getLogger(__name__)

CLASSIFIER_BLOCKS = ("blocks", "stages")  # where timm's models keep them
OPTIONS: dict[str, Any] = {"dynamic": False}  # of torch.compile
MOST_GRAPHS = 64  # of one piece of code, which all stages of a classifier share; torch stops at 8, without an error


def check_compiler(device: torch.device) -> None:
    """Compile a product of two numbers.

    Raises:
        ConfigError: torch.compile does not work here; the message says why, and what to set.
    """
    try:
        double = torch.compile(_double, dynamic=False)
        double(torch.ones(2, device=device))
    except Exception as error:  # of torch's compiler, of Triton or of the C compiler
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise ConfigError(
            f"run.compile: blocks needs torch.compile, which does not work on this machine ({reason}); "
            "set run.compile=off, or install what is missing (on CPUs a C++ compiler, on GPUs Triton)"
        ) from error


def _double(values: torch.Tensor) -> torch.Tensor:
    return 2 * values


def allow_graphs(most: int) -> None:
    """Let torch compile so many graphs of one piece of code; it says nothing of what it leaves to run eagerly."""
    config: Any = torch._dynamo.config
    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"  # the latter up to torch 2.6
    setattr(config, name, max(getattr(config, name), most))


def compile_blocks(classifier: Classifier, guide: Guide | None) -> None:
    """Compile what can be compiled of the models of a run; each block when it is first used.

    A classifier whose images depend on each other (BatchNorm with the batch's statistics) stays as it is.

    Raises:
        ConfigError: a guide's transformer has no list of blocks.
    """
    allow_graphs(MOST_GRAPHS)
    if guide is not None:
        blocks = getattr(guide.transformer, "blocks", None)
        if not isinstance(blocks, nn.ModuleList):
            raise ConfigError(
                f"run.compile: blocks needs a transformer with a ModuleList called blocks; "
                f"{type(guide.transformer).__name__} has none; set run.compile=off"
            )
        entry = "forward_embedded" if hasattr(guide.transformer, "forward_embedded") else "forward"
        _compile(list(blocks), around=guide.transformer, entry=entry, name="the transformer's blocks")
        if guide.vae is not None:
            _compile([guide.vae.encoder], around=guide.vae, entry="encode", name="the VAE's encoder")
    if not classifier.uses_batch_statistics:
        found = [getattr(classifier.backbone, name, None) for name in CLASSIFIER_BLOCKS]
        own = [child for blocks in found if isinstance(blocks, nn.Module) for child in blocks.children()]
        if own:
            _compile(own, around=classifier.backbone, entry="forward", name="the classifier's blocks")


def _compile(blocks: list[nn.Module], *, around: nn.Module, entry: str, name: str) -> None:
    """Compile blocks; ``entry`` is the method of the model around them through which every pass goes."""
    for block in blocks:
        block.compile(**OPTIONS)
    setattr(around, entry, _StaticShapes(getattr(around, entry), name))


class _StaticShapes:
    """Stands for a method of a model of compiled blocks; lets the largest pieces of each kind run compiled.

    Args:
        forward: takes a tensor whose first dimension counts.
        name: of what is compiled, for the log.
    """

    def __init__(self, forward: Any, name: str) -> None:
        self.forward, self.name = forward, name
        self.largest: dict[Any, int] = {}

    def __call__(self, inputs: torch.Tensor, *others: Any, **options: Any) -> Any:
        kind = (torch.is_grad_enabled(), tuple(inputs.shape[1:]))
        rows, largest = len(inputs), self.largest.get(kind, 0)
        if rows < largest:
            with torch.compiler.set_stance("force_eager"):
                return self.forward(inputs, *others, **options)
        if rows == largest:
            return self.forward(inputs, *others, **options)
        self.largest[kind] = rows
        with self._timed(rows):
            return self.forward(inputs, *others, **options)

    @contextmanager
    def _timed(self, rows: int) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        what = "passes with a graph" if torch.is_grad_enabled() else "passes without one"
        spent = time.perf_counter() - begun
        logger.info("run.compile: %s compiled for %d at once, %s, in %.1f s", self.name, rows, what, spent)
