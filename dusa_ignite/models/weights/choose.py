"""Finding the weights inside what a checkpoint holds: which mapping, and which prefix of its names.

Training scripts nest weights under keys of all kinds, and wrappers put prefixes before their names. Nothing here knows
the scripts: every mapping to tensors, at any depth, is a possible reading, and so is each with a prefix taken off. The
reading that fits the model by all names and shapes is taken; an averaged one before others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.foreign_names import as_timm
from dusa_ignite.models.weights.shown import shown

Weights = Mapping[str, torch.Tensor]

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "timm_model.", "ema_model.", "ema.")
BESIDE = re.compile(r"optim|sched|scaler|^opt$|^amp$|^loops$|callbacks|^args$|hyper_?param|config|rng|random_state")
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?)([._]|$)", re.IGNORECASE)
COUNTER = "num_batches_tracked"  # of BatchNorm; old checkpoints lack it, and evaluation does not need it
AVERAGES = "n_averaged"  # how many steps torch's AveragedModel has averaged
LIST = 8  # items of a list that may hold weights
DEPTH = 20  # of nesting; no script goes deeper


@dataclass(frozen=True)
class Reading:
    """One way to read a checkpoint.

    Attributes:
        weights: names, without the prefix, to tensors.
        path: the keys that lead to the mapping.
        prefix: what was taken off all names.
        aside: names that stand beside the weights and are not taken.
        naming: whose names these were, where they had to be translated.
    """

    weights: dict[str, torch.Tensor]
    path: tuple[str, ...] = ()
    prefix: str = ""
    aside: tuple[str, ...] = ()
    naming: str = ""

    @property
    def averaged(self) -> bool:
        """Whether they are running averages of the weights of training."""
        return any(AVERAGED.search(part) for part in (*self.path, self.prefix)) or AVERAGES in self.aside

    @property
    def name(self) -> str:
        """How to tell it from others: ``state_dict, names that begin with model.``"""
        path = " > ".join(map(shown, self.path))
        prefix = f"names that begin with {shown(self.prefix)}" if self.prefix else ""
        return ", ".join(filter(None, [path, prefix])) or "the file"


def readings(content: Any, *, where: str) -> list[Reading]:
    """All mappings to tensors that a checkpoint holds, the outer ones first, none of their prefixes taken off.

    Raises:
        CheckpointError: there is none, one contains itself, or names are no text.
    """
    found = list(_mappings(content, (), [], set(), where))
    if not found:
        raise CheckpointError(f"{where}: holds no mapping of parameter names to tensors")
    return found


def _mappings(content: Any, path: tuple[str, ...], above: list[int], seen: set[int], where: str) -> Iterator[Reading]:
    """``above``: what it stands in; ``seen``: what has been looked at; shared mappings would take ages otherwise."""
    if id(content) in above:
        raise CheckpointError(f"{where}: holds a mapping that contains itself (at {shown(' > '.join(path))!r})")
    if not isinstance(content, dict | list | tuple) or id(content) in seen or len(path) > DEPTH:
        return
    seen.add(id(content))
    above = [*above, id(content)]
    items = content if isinstance(content, dict) else dict(enumerate(content)) if len(content) <= LIST else {}
    tensors = {name: value for name, value in items.items() if isinstance(value, torch.Tensor)}
    if isinstance(content, dict):
        yield from _own(tensors, path, where)
    for name, value in items.items():
        if not (isinstance(name, str) and BESIDE.search(name.lower())):
            yield from _mappings(value, (*path, str(name)), above, seen, where)


def _own(tensors: dict[Any, torch.Tensor], path: tuple[str, ...], where: str) -> Iterator[Reading]:
    if odd := [name for name in tensors if not isinstance(name, str)]:
        raise CheckpointError(
            f"{where}: {shown(' > '.join(path)) or 'the file'} holds a tensor under the name {shown(odd[0])!r}, "
            f"which is {type(odd[0]).__name__}; names of weights are text"
        )
    aside = (AVERAGES,) if AVERAGES in tensors and len(tensors) > 1 else ()
    if tensors:
        yield Reading({name: value for name, value in tensors.items() if name not in aside}, path, aside=aside)


def without_prefixes(reading: Reading) -> Iterator[Reading]:
    """The reading itself, then with one prefix after another taken off, as long as all names share one."""
    yield reading
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in reading.weights)), None):
        reading = _strip(reading, prefix)
        yield reading


def _strip(reading: Reading, prefix: str) -> Reading:
    """Only the names that begin with a prefix, without it; the others are put aside."""
    inside = {name[len(prefix) :]: value for name, value in reading.weights.items() if name.startswith(prefix)}
    aside = tuple(name for name in reading.weights if not name.startswith(prefix))
    return replace(reading, weights=inside, prefix=reading.prefix + prefix, aside=reading.aside + aside)


def choose(found: list[Reading], wanted: Weights, *, dropped: tuple[str, ...] = (), where: str) -> Reading:
    """The reading that fits a model.

    Args:
        found: of :func:`readings`.
        wanted: the model's state dict, or anything else with its names and shapes.
        dropped: names that begin so are no part of the model and do not count.
        where: for error messages.

    Returns:
        The one that fits by all names and shapes; of several, the averaged one. If none fits, the one that comes
        nearest, for :func:`dusa_ignite.models.weights.load_strict` to say what is wrong with it.

    Raises:
        CheckpointError: several fit that hold different values, and not just one of them is averaged.
    """
    plain = [_kept(level, dropped) for reading in found for level in without_prefixes(reading)]
    fitting = [reading for reading in plain if fits(reading.weights, wanted)]
    if not fitting:
        translated = [replace(r, weights=w, naming=n) for r in plain for n, w in as_timm(r.weights)]
        fitting = [reading for reading in translated if fits(reading.weights, wanted)]
        plain += translated
    if not fitting:
        groups = [level for r in plain if not r.naming for group in _groups(r) for level in without_prefixes(group)]
        fitting = [r for reading in groups if fits((r := _kept(reading, dropped)).weights, wanted)]
    if not fitting:
        return max(plain, key=lambda reading: (_matches(reading.weights, wanted), reading.averaged))
    best = next((reading for reading in fitting if reading.averaged), fitting[0])
    rivals = [r for r in fitting if r.averaged == best.averaged and not same(r.weights, best.weights)]
    if rivals:
        names = "; ".join(reading.name for reading in [best, *rivals][:3])
        raise CheckpointError(f"{where}: {1 + len(rivals)} readings fit the model ({names}); {one_alone(best)}")
    return best


def _kept(reading: Reading, dropped: tuple[str, ...]) -> Reading:
    """Without what is no part of the model."""
    weights = {name: value for name, value in reading.weights.items() if not (dropped and name.startswith(dropped))}
    return replace(reading, weights=weights)


def one_alone(reading: Reading) -> str:
    """How to make a file with one of several sets of weights."""
    keys = "".join(f"[{shown(key)!r}]" for key in reading.path)
    return f"save one of them alone, such as torch.save(torch.load(FILE, weights_only=True){keys}, 'one.pt')"


def fits(weights: Weights, wanted: Weights) -> bool:
    """Whether all names and shapes are the model's, but for BatchNorm's counters, which may be missing."""
    if not all(name in weights or name.endswith(COUNTER) for name in wanted):
        return False
    return all(name in wanted and _shape(value) == _shape(wanted[name]) for name, value in weights.items())


def _matches(weights: Weights, wanted: Weights) -> int:
    """How many names are the model's, those of the right shape counted twice."""
    shared = [name for name in wanted if name in weights]
    return len(shared) + sum(_shape(weights[name]) == _shape(wanted[name]) for name in shared)


def _shape(value: torch.Tensor) -> tuple[int, ...]:
    return () if value.is_nested else tuple(value.shape)


def _groups(reading: Reading) -> Iterator[Reading]:
    """The names of each first part by themselves: a wrapper's model, without its loss or its teacher."""
    firsts = dict.fromkeys(name.split(".")[0] + "." for name in reading.weights if "." in name)
    if len(firsts) <= 50:
        for first in firsts:
            if any(not name.startswith(first) for name in reading.weights):
                yield _strip(reading, first)


def same(one: Weights, other: Weights) -> bool:
    """Whether names and values are equal."""
    try:
        return one.keys() == other.keys() and all(
            one[name] is other[name] or torch.equal(one[name], other[name]) for name in one
        )
    except (RuntimeError, NotImplementedError, TypeError):  # kinds of tensors that cannot be compared
        return False
