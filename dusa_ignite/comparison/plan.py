"""Which runs a comparison consists of, all of them checked before the first one starts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dusa_ignite.config import Config, load_config, method_names
from dusa_ignite.errors import ConfigError
from dusa_ignite.results import files
from dusa_ignite.runs.folder import check_free, check_same_config
from dusa_ignite.utils.nearest import nearest
from dusa_ignite.utils.own_parts import is_reference

SOURCE = "source"
REFERENCES = ("dusa", "window_dusa")  # the paper's methods, of its two problems
LABEL = r"\w[\w.+-]*"  # a part of folder names
PLANNED = {"seed": "--seeds", "method": "--methods", "method.name": "--methods"}  # what gives these keys instead
FOLDERS = {"name": "--output", "output_dir": "--output"}  # likewise for the runs of one entry


class Entry(NamedTuple):
    """A row of the comparison: its label, and the method's name in the config."""

    label: str
    method: str


class PlannedRun(NamedTuple):
    """One entry with one seed."""

    label: str
    seed: int
    config: Config

    @property
    def folder(self) -> Path:
        """Where the run writes to."""
        return Path(self.config.output_dir) / self.config.name


class Plan(NamedTuple):
    """All runs, a method's seeds next to each other, and the folder around their folders."""

    folder: Path
    reference: str
    runs: list[PlannedRun]


def make_plan(
    path: str | Path,
    *,
    methods: str,
    seeds: str,
    reference: str | None = None,
    overrides: Sequence[str] = (),
    own_overrides: Sequence[str] = (),
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Plan:
    """Every run's config: the file's with the overrides, and with the method, the seed and a folder of its own.

    Args:
        path: a config file.
        methods: names separated by commas, also of the file's variants, or ``label=name`` for a second row of one.
            Source is put in front if missing: the collapse flags need it.
        seeds: integers separated by commas.
        reference: label that the others are compared with; ``None`` = dusa or window_dusa if there, else the last one.
        overrides: ``section.key=value`` each, for every run.
        own_overrides: ``label:section.key=value`` each, for the runs of one entry.
        output: the comparison's folder; ``None`` = ``<output_dir>/<name>`` of the config.
        overwrite: runs that are there already will be replaced.

    Raises:
        ConfigError: a name, seed or override is wrong, or a folder holds a run with another config.
    """
    entries = parse_methods(methods, known=method_names(path))
    labels = [entry.label for entry in entries]
    numbers = parse_seeds(seeds)
    own = split_own(own_overrides, labels)
    for text in overrides:
        _check_override(text, PLANNED)
    for text in (text for texts in own.values() for text in texts):
        _check_override(text, PLANNED | FOLDERS)
    if reference is None:
        reference = next((label for label in REFERENCES if label in labels), labels[-1])
    if reference not in labels:
        raise ConfigError(f"--reference: {reference!r} is not among the methods; allowed: {' | '.join(labels)}")
    common = {entry: [*overrides, *own[entry.label], f"method.name={entry.method}"] for entry in entries}
    chosen = _load_all(path, common)
    if len({config.data.score_over for config in chosen}) > 1:
        raise ConfigError("data.score_over: must be the same for all methods; give it without --set")
    if output is None:
        output = Path(chosen[0].output_dir) / chosen[0].name
    runs = []
    for entry, texts in common.items():
        for seed in numbers:
            name = f"{entry.label}_seed{seed}"
            placed = [
                f"output_dir={json.dumps(str(output))}",
                f"name={json.dumps(name)}",
                f"seed={seed}",
                "resume=auto",
            ]
            runs.append(PlannedRun(entry.label, seed, load_config(path, [*texts, *placed])))
    if not overwrite:
        for run in runs:
            _check_folder(run)
    return Plan(Path(output), reference, runs)


def parse_methods(text: str, *, known: Mapping[str, str]) -> list[Entry]:
    """``source,dusa,frozen=dusa`` taken apart, with Source in front where it is missing.

    Args:
        text: what was typed; a reference to a method of the user's own, ``path/to/file.py:Name``, is labelled ``Name``.
        known: what ``method.name`` can be, of :func:`dusa_ignite.config.method_names`.

    Raises:
        ConfigError: a name is no method, or a label is used twice or cannot be one.
    """
    entries: list[Entry] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        label, equals, method = (piece.strip() for piece in part.partition("="))
        if not equals and is_reference(label):  # to a class of the user's own, which gives the label
            label, equals, method = label.rpartition(":")[2], ":", label
        entry = Entry(label, method if equals else label)
        if entry.method not in known and not is_reference(entry.method):
            near = nearest(entry.method, known)
            raise ConfigError(f"--methods: {entry.method!r} is no method, did you mean {near}? ({' | '.join(known)})")
        if label in known and label != entry.method:
            raise ConfigError(f"--methods: {part}: {label} is a method itself; choose another label")
        if not re.fullmatch(LABEL, label):
            raise ConfigError(f"--methods: {label!r} cannot be a label; allowed: letters, digits and _ . + -")
        if label in (other.label for other in entries):
            raise ConfigError(f"--methods: {label!r} listed twice; label one of them, such as {label}_2={entry.method}")
        entries.append(entry)
    if not entries:
        raise ConfigError(f"--methods: none given; allowed: a list such as source,dusa out of {', '.join(known)}")
    if SOURCE in (entry.method for entry in entries):
        return entries
    return [Entry(SOURCE, SOURCE), *entries]


def parse_seeds(text: str) -> list[int]:
    """``0,1,2`` taken apart.

    Raises:
        ConfigError: one is no integer >= 0 or listed twice, or there is none.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not re.fullmatch("[0-9]{1,10}", part):
            raise ConfigError(f"--seeds: {part!r} is not allowed; allowed: integers >= 0 such as 0,1,2")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds: {text}: one is listed twice")
    return seeds


def split_own(texts: Sequence[str], labels: Sequence[str]) -> dict[str, list[str]]:
    """``label:section.key=value`` each, sorted by label.

    Raises:
        ConfigError: there is no colon, or no such label.
    """
    own: dict[str, list[str]] = {label: [] for label in labels}
    for text in texts:
        label, colon, override = text.partition(":")
        if not colon or "=" in label:
            raise ConfigError(f"--set {text}: write method:section.key=value, such as {labels[-1]}:optimizer.lr=1e-4")
        if label not in own:
            raise ConfigError(f"--set {text}: {label!r} is not among the methods; allowed: {' | '.join(labels)}")
        own[label].append(override)
    return own


def _load_all(path: str | Path, overrides: dict[Entry, list[str]]) -> list[Config]:
    """Every entry's config, or the problems of all of them at once."""
    configs: list[Config] = []
    problems: dict[str, list[str]] = {}
    for entry, texts in overrides.items():
        try:
            configs.append(load_config(path, texts))
        except ConfigError as error:
            for line in str(error).splitlines():
                problems.setdefault(line, []).append(entry.label)
    if problems:
        raise ConfigError("\n".join(_of_entries(line, of, len(overrides)) for line, of in problems.items()))
    return configs


def _check_override(text: str, given: Mapping[str, str]) -> None:
    key = text.partition("=")[0].strip()
    if key in given:
        raise ConfigError(f"override {text!r}: {given[key]} gives it in a comparison")


def _of_entries(problem: str, labels: Sequence[str], total: int) -> str:
    """A problem, the entries that have it, and what to do about an override that only other methods know."""
    found = re.match(r"override (method\.\S+): method\.\S+: unknown key", problem)
    hint = f"; to set it for one method only: --set <method>:{found[1]}" if found else ""
    return problem + hint if len(labels) == total else f"{', '.join(labels)}: {problem}{hint}"


def _check_folder(run: PlannedRun) -> None:
    if (run.folder / files.CONFIG).exists():
        try:
            check_same_config(run.folder, run.config)
        except ConfigError as error:
            raise ConfigError(f"{error}; choose another name=... or --output, or give --overwrite") from error
    else:
        check_free(run.folder, overwrite=False)
