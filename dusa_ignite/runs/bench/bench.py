"""The whole measurement: ceilings, variants side by side, parts, growth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from dusa_ignite.config import Config
from dusa_ignite.config.file import load_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.bench.costs import checkpoint_rows
from dusa_ignite.runs.bench.growth import growth_variants
from dusa_ignite.runs.bench.machine import Ceilings, measure_ceilings
from dusa_ignite.runs.bench.measure import Plan, measure_variant
from dusa_ignite.runs.bench.models import Built, guide_precision
from dusa_ignite.runs.bench.parts import Part, measure_parts
from dusa_ignite.runs.bench.row import Row
from dusa_ignite.runs.bench.sizes import load_sized
from dusa_ignite.runs.bench.variants import SHIPPED, TEXTBOOK, Variant, read_variants
from dusa_ignite.runs.provenance import git_commit, hardware


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it.

    Attributes:
        path, overrides: of the config.
        size: ``tiny``, ``small`` or ``full``.
        variants: see :func:`dusa_ignite.runs.bench.variants.read_variants`; ``None`` = textbook, shipped and sampled
            where the method is dusa, and shipped alone elsewhere.
        parts: names of the variants whose parts are measured.
        grow: ``batch`` or ``candidates``: the shipped variant with more and more of them; ``None`` = not.
        seconds, updates, pixels: see :class:`dusa_ignite.runs.bench.measure.Plan`.
        folder: where a checkpoint of the shipped variant is written for a moment; ``None`` = none.
    """

    path: Path
    overrides: Sequence[str] = ()
    size: str = "full"
    variants: str | None = None
    parts: Sequence[str] = (SHIPPED,)
    grow: str | None = None
    seconds: float = 20.0
    updates: int | None = None
    pixels: int = 224
    folder: Path | None = None


@dataclass
class Result:
    """What was measured."""

    about: dict[str, Any]
    ceilings: Ceilings
    rows: list[Row] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    checkpoint: list[list[str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "about": self.about,
            "ceilings": asdict(self.ceilings),
            "variants": [row.as_json() for row in self.rows],
            "parts": [part.as_json() for part in self.parts],
            "growth": [row.as_json() for row in self.growth],
            "checkpoint": dict(self.checkpoint),
        }


def run_bench(request: Request, on_row: Callable[[Result, Row], None] = lambda result, row: None) -> Result:
    """Measure it all; what fails in one variant is said in its row.

    Args:
        request: what is asked for.
        on_row: called after every variant, with what has been measured by then and the variant's row.

    Raises:
        ConfigError: the config, a variant or a part that is asked for cannot be used.
    """
    config, sized = load_sized(request.path, request.overrides, size=request.size)
    variants = read_variants(request.variants or _usual(config))
    unknown = set(request.parts) - {variant.name for variant in variants}
    if unknown and tuple(request.parts) != (SHIPPED,):
        raise ConfigError(f"--parts: {', '.join(sorted(unknown))} is not among the variants; add it to --variants")

    grown = [] if request.grow is None else growth_variants(config, request.grow)

    def load(variant: Variant) -> Config:
        return load_config(request.path, [*sized, *variant.overrides])

    ceilings = measure_ceilings(idist.device(), size=request.size, further=guide_precision(config))
    result = Result(_about(config, sized, request), ceilings)
    plan = Plan(request.seconds, request.updates, request.pixels, request.size)

    def afterwards(config: Config, built: Built, row: Row) -> None:
        if row.name in request.parts and request.updates != 0:
            limit = request.seconds / 20
            result.parts += measure_parts(config, built, variant=row.name, size=request.size, limit=limit)
        if row.name == SHIPPED and request.folder is not None:
            result.checkpoint = checkpoint_rows(config, built, request.folder)

    rows, reference = {}, None
    for variant in sorted(variants, key=lambda variant: variant.name != SHIPPED):  # the one that all are compared with
        rows[variant.name], first = measure_variant(variant, load, plan, reference=reference, afterwards=afterwards)
        reference = first if variant.name == SHIPPED else reference
        result.rows = [rows[variant.name] for variant in variants if variant.name in rows]
        on_row(result, rows[variant.name])
    for variant in grown:
        result.growth.append(measure_variant(variant, load, plan)[0])
        on_row(result, result.growth[-1])
    return result


def _usual(config: Config) -> str:
    return f"{TEXTBOOK},{SHIPPED},sampled" if config.method.name == "dusa" else SHIPPED


def _about(config: Config, sized: Sequence[str], request: Request) -> dict[str, Any]:
    return {
        "config": config.name,
        "method": config.method.name,
        "size": request.size,
        "overrides": list(sized),
        "batch_size": config.data.batch_size,
        "seconds": request.seconds,
        "device": idist.device().type,
        "git_commit": git_commit(),
        **hardware(),
    }
