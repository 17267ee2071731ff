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
from dusa_ignite.runs.bench.processes import measure_sums
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
            where the method is dusa, and shipped alone elsewhere; with several processes there is no textbook.
        parts: names of the variants whose parts are measured; ``None`` = shipped's in one process, none in several.
        grow: ``batch`` or ``candidates``: the shipped variant with more and more of them; ``None`` = not.
        seconds, updates, pixels: see :class:`dusa_ignite.runs.bench.measure.Plan`.
        folder: where a checkpoint of the shipped variant is written for a moment; ``None`` = none.

    Parts and the checkpoint are measured in a single process only.
    """

    path: Path
    overrides: Sequence[str] = ()
    size: str = "full"
    variants: str | None = None
    parts: Sequence[str] | None = None
    grow: str | None = None
    seconds: float = 20.0
    updates: int | None = None
    pixels: int = 224
    folder: Path | None = None


@dataclass
class Result:
    """What was measured; ``sums`` are seconds of the gradients' sums over several processes, alone."""

    about: dict[str, Any]
    ceilings: Ceilings
    rows: list[Row] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    checkpoint: list[list[str]] = field(default_factory=list)
    sums: float | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "about": self.about,
            "ceilings": asdict(self.ceilings),
            "variants": [row.as_json() for row in self.rows],
            "parts": [part.as_json() for part in self.parts],
            "growth": [row.as_json() for row in self.growth],
            "checkpoint": dict(self.checkpoint),
            "gradient_sums_seconds": self.sums,
        }


def run_bench(request: Request, on_row: Callable[[Result, Row], None] = lambda result, row: None) -> Result:
    """Measure it all; what fails in one variant is said in its row. Several processes share each batch.

    Args:
        request: what is asked for.
        on_row: called after every variant, with what has been measured by then and the variant's row.

    Raises:
        ConfigError: the config, a variant or a part that is asked for cannot be used.
    """
    config, sized = load_sized(request.path, request.overrides, size=request.size)
    variants = read_variants(request.variants or _usual(config))
    parts = _parts(request.parts, variants)

    grown = [] if request.grow is None else growth_variants(config, request.grow)

    def load(variant: Variant) -> Config:
        return load_config(request.path, [*sized, *variant.overrides])

    ceilings = measure_ceilings(idist.device(), size=request.size, further=guide_precision(config))
    result = Result(_about(config, sized, request), ceilings)
    plan = Plan(request.seconds, request.updates, request.pixels, request.size)

    def afterwards(config: Config, built: Built, row: Row) -> None:
        if row.name in parts and request.updates != 0:
            limit = request.seconds / 20
            result.parts += measure_parts(config, built, variant=row.name, size=request.size, limit=limit)
        if row.name == SHIPPED and idist.get_world_size() > 1:
            result.sums = measure_sums(built.method, limit=request.seconds / 20)
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
    if config.method.name != "dusa":
        return SHIPPED
    return f"{SHIPPED},sampled" if idist.get_world_size() > 1 else f"{TEXTBOOK},{SHIPPED},sampled"


def _parts(asked: Sequence[str] | None, variants: Sequence[Variant]) -> Sequence[str]:
    if asked is None:
        return (SHIPPED,) if idist.get_world_size() == 1 else ()
    unknown = set(asked) - {variant.name for variant in variants}
    if unknown and tuple(asked) != (SHIPPED,):
        raise ConfigError(f"--parts: {', '.join(sorted(unknown))} is not among the variants; add it to --variants")
    return asked


def _about(config: Config, sized: Sequence[str], request: Request) -> dict[str, Any]:
    return {
        "config": config.name,
        "method": config.method.name,
        "size": request.size,
        "overrides": list(sized),
        "batch_size": config.data.batch_size,
        "seconds": request.seconds,
        "device": idist.device().type,
        "processes": idist.get_world_size(),
        "git_commit": git_commit(),
        **hardware(),
    }
