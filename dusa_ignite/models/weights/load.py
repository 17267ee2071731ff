"""Weights for a model, from a file, a folder or the hub."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.choose import (
    AVERAGES,
    COUNTER,
    Reading,
    choose,
    fits,
    one_alone,
    readings,
    same,
    without_prefixes,
)
from dusa_ignite.models.weights.places import Found, locate
from dusa_ignite.models.weights.read import read_content
from dusa_ignite.models.weights.shown import shown
from dusa_ignite.models.weights.values import check_values, converted
from dusa_ignite.utils.memory import is_out_of_memory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """Weights, ready for a model, and where in the file they were."""

    weights: dict[str, torch.Tensor]
    reading: Reading
    notes: tuple[str, ...]

    @property
    def line(self) -> str:
        """What was taken: ``122 tensors of state_dict_ema (averaged), converted from float16``."""
        of = f" of {self.reading.name}" if self.reading.path or self.reading.prefix else ""
        averaged = " (averaged)" if self.reading.averaged else ""
        return ", ".join([f"{len(self.weights)} tensors{of}{averaged}", *self.notes])


def load_weights(
    checkpoint: str | Path,
    *,
    key: str,
    embedded: str | None = None,
    wanted: Mapping[str, torch.Tensor] | None = None,
    dropped: tuple[str, ...] = (),
) -> dict[str, torch.Tensor]:
    """Read weights into a flat mapping of names to CPU tensors, and log what was taken in one line.

    Nested checkpoints are unwrapped at any depth, and prefixes that wrappers put before all names are taken off: the
    reading that fits ``wanted`` by all names and shapes is taken, averaged weights (EMA) before others. Where none
    fits, the nearest one is returned for :func:`load_strict` to say what differs. Half precision and float64 become
    the model's type. Pickles are read with ``weights_only``; nothing that a file brings along is run.

    Args:
        checkpoint: see :func:`locate`.
        key: the config key, for error messages.
        embedded: see :func:`locate`.
        wanted: the model's state dict; without it, the file must hold one set of weights, or one averaged one.
        dropped: names that begin so are left out.

    Raises:
        CheckpointError: nothing can be read there, it holds no weights or several that fit, or values that are none.
    """
    found = locate(checkpoint, key=key, embedded=embedded)
    loaded = load_found(found, where=f"{key}: {checkpoint}", wanted=wanted, dropped=dropped)
    logger.info("%s: %s: took %s", key, checkpoint, loaded.line)
    return loaded.weights


def load_found(
    found: Found,
    *,
    where: str,
    wanted: Mapping[str, torch.Tensor] | None = None,
    dropped: tuple[str, ...] = (),
    rename: Callable[[str], str] | None = None,
) -> Loaded:
    """As :func:`load_weights`, for files that have been found, and with all there is to tell.

    Args:
        found: of :func:`locate`.
        where: the config key and the name that the user gave, for error messages.
        wanted: see :func:`load_weights`.
        dropped: see :func:`load_weights`.
        rename: from a name in the file to the one the model has now.
    """
    possible = sets_of_weights(found, where=where)
    where = named(found, where)
    if rename is not None:
        possible = [replace(r, weights={rename(name): v for name, v in r.weights.items()}) for r in possible]
    try:
        if wanted is None:
            reading = the_only(possible, where=where)
        else:
            reading = choose(possible, wanted, dropped=dropped, where=where)
        kept = reading.weights
        notes = _notes(reading, possible)
        if wanted is not None and not fits(kept, wanted):
            return Loaded(kept, reading, notes)  # load_strict says what is wrong
        check_values(kept, wanted=wanted, where=where)
        weights, types = converted(kept, wanted)
        if types:
            notes += (f"converted from {' and '.join(types)}",)
            check_values(weights, wanted=wanted, where=f"{where}: converted from {' and '.join(types)}")
    except Exception as error:
        if is_out_of_memory(error):
            raise CheckpointError(f"{where}: not enough memory to prepare the weights; end other programs") from error
        raise
    counters = [name for name in wanted or () if name not in weights and name.endswith(COUNTER)]
    if counters:
        notes += (f"{len(counters)} counters of BatchNorm set to 0",)
        weights |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
    return Loaded(weights, reading, notes)


def named(found: Found, where: str) -> str:
    """For error messages: what the user gave, and the file in it, if it is a folder or a repository."""
    return where if found.files[0].name in where else f"{where}: {found.files[0].name}"


def sets_of_weights(found: Found, *, where: str) -> list[Reading]:
    """All mappings to tensors that a file holds; of shards, their union.

    Raises:
        CheckpointError: a file cannot be read, or holds none.
    """
    contents = [(named(Found((file,)), where), file) for file in found.files]
    sets = [readings(read_content(file, where=line), where=line) for line, file in contents]
    if len(sets) == 1:
        return sets[0]
    if sum(len(shard[0].weights) for shard in sets) > len(set().union(*(shard[0].weights for shard in sets))):
        raise CheckpointError(f"{where}: two of its files hold weights of the same name; fetch them again")
    return [_joined([shard[0] for shard in sets])]


def _notes(reading: Reading, possible: list[Reading]) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if reading.naming:
        notes += (f"{reading.naming}'s names translated to timm's",)
    if aside := [name for name in reading.aside if name != AVERAGES]:
        notes += (f"{len(aside)} others left aside ({', '.join(map(shown, aside[:2]))})",)
    unused = [other.name for other in possible if other.averaged and not reading.averaged]
    if unused:
        notes += (f"not the averaged ones of {unused[0]}, which do not fit",)
    return notes


def the_only(possible: list[Reading], *, where: str) -> Reading:
    """Without a model to compare with: the averaged weights, or those that have no rival of their size."""
    stripped = [list(without_prefixes(reading))[-1] for reading in possible]
    averaged = [reading for reading in stripped if reading.averaged]
    most = max(len(reading.weights) for reading in stripped)
    large = [reading for reading in averaged or stripped if 2 * len(reading.weights) > most] or [
        max(stripped, key=lambda reading: len(reading.weights))
    ]
    large = [large[0], *(other for other in large[1:] if not same(other.weights, large[0].weights))]
    if len(large) > 1:
        names = "; ".join(reading.name for reading in large[:3])
        raise CheckpointError(f"{where}: holds {len(large)} sets of weights ({names}); {one_alone(large[0])}")
    return large[0]


def _joined(shards: list[Reading]) -> Reading:
    weights: dict[str, torch.Tensor] = {}
    for shard in shards:
        weights |= shard.weights
    return replace(shards[0], weights=weights)
