"""One option chosen for every method in the same way: a grid of values, all tried on the same stream.

Choose on data that is not reported on, such as another severity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dusa_ignite.comparison.finished import read_run
from dusa_ignite.comparison.plan import SOURCE, Plan, make_plan, parse_methods, split_own
from dusa_ignite.comparison.statistics import mean_and_std
from dusa_ignite.comparison.tables import console_table, markdown_table
from dusa_ignite.config import method_names
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.runs.folder import is_finished
from dusa_ignite.utils.durable import write_text

MARKDOWN = "tuning.md"


@dataclass(frozen=True)
class Tuning:
    """The runs of a grid.

    Attributes:
        plan: all runs, those of Source first.
        key: the option, such as ``optimizer.lr``.
        values: as they were typed, in that order.
        trials: for every method the labels of its runs, in the order of ``values``.
    """

    plan: Plan
    key: str
    values: tuple[str, ...]
    trials: dict[str, list[str]]


def plan_tuning(
    path: str | Path,
    *,
    methods: str,
    grid: str,
    seeds: str,
    overrides: Sequence[str] = (),
    own_overrides: Sequence[str] = (),
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Tuning:
    """One entry per method and value; arguments as for :func:`dusa_ignite.comparison.make_plan`.

    Args:
        grid: ``section.key=value,value,...``.

    Raises:
        ConfigError: something given is wrong, or a folder holds a run with another config.
    """
    key, values = parse_grid(grid)
    entries = [entry for entry in parse_methods(methods, known=method_names(path)) if entry.method != SOURCE]
    if not entries:
        raise ConfigError(f"--methods {methods}: Source adapts nothing; name methods that have something to choose")
    trials = {entry.label: [f"{entry.label}-{value}" for value in values] for entry in entries}
    inherited = split_own(own_overrides, list(trials))
    listed, own = [SOURCE], []
    for entry in entries:
        for label, value in zip(trials[entry.label], values, strict=True):
            listed.append(f"{label}={entry.method}")
            own += [f"{label}:{text}" for text in [*inherited[entry.label], f"{key}={value}"]]
    plan = make_plan(
        path,
        methods=",".join(listed),
        seeds=seeds,
        reference=SOURCE,
        overrides=overrides,
        own_overrides=own,
        output=output,
        overwrite=overwrite,
    )
    return Tuning(plan, key, values, trials)


def parse_grid(text: str) -> tuple[str, tuple[str, ...]]:
    """``optimizer.lr=1e-4,1e-3`` taken apart.

    Raises:
        ConfigError: there is no key, fewer than two values, or one of them twice.
    """
    key, _, rest = (part.strip() for part in text.partition("="))
    values = tuple(part.strip() for part in rest.split(",") if part.strip())
    if not key or len(values) < 2 or len(set(values)) < len(values):
        raise ConfigError(f"--grid {text}: write section.key=value,value,... with at least two different values")
    return key, values


def write_tuning(tuning: Tuning, *, command: str) -> str:
    """Write the table of a finished grid into its folder; return the text for the console.

    Raises:
        DataError: a run cannot be read, or all runs of a method have failed.
    """
    top1: dict[str, list[float]] = {run.label: [] for run in tuning.plan.runs}
    for run in tuning.plan.runs:
        if is_finished(run.folder):
            top1[run.label].append(read_run(run.folder, label=run.label).rows["mean"]["top1"])
    seeds = len({run.seed for run in tuning.plan.runs})
    means = {label: mean_and_std(values).mean for label, values in top1.items() if len(values) == seeds}
    for method, labels in tuning.trials.items():
        if SOURCE not in means or not means.keys() & set(labels):
            raise DataError(f"{method if SOURCE in means else SOURCE}: every run failed, for the reasons above")
    grid, notes = table(tuning, means), describe(tuning, means)
    points = "\n".join(f"* {note}" for note in notes)
    write_text(tuning.plan.folder / MARKDOWN, f"```bash\n{command}\n```\n\n{markdown_table(grid)}\n\n{points}\n")
    return "\n\n".join([console_table(grid), "\n".join(notes), f"{tuning.plan.folder / MARKDOWN}"])


def table(tuning: Tuning, means: dict[str, float]) -> list[list[str]]:
    """Mean top-1 in percent, a line per method, a column per value, the best of a line marked."""
    lines = [[f"top-1 (%) by {tuning.key}", *tuning.values]]
    for method, labels in tuning.trials.items():
        best = best_of(labels, means)
        cells = [
            f"{100 * means[label]:.2f}{'*' if label == best else ' '}" if label in means else "failed "
            for label in labels
        ]
        lines.append([method, *cells])
    return lines


def describe(tuning: Tuning, means: dict[str, float]) -> list[str]:
    """What was tried, what came out best, and where the grid was too narrow to tell."""
    config = tuning.plan.runs[0].config
    seeds = ", ".join(dict.fromkeys(str(run.seed) for run in tuning.plan.runs))
    severities = getattr(config.data, "severities", ())
    data = f"{config.data.name}, severity {', '.join(map(str, severities))}" if severities else config.data.name
    notes = [f"{data}, seeds {seeds}; mean over tasks and seeds; * = best. Source: {100 * means[SOURCE]:.2f}."]
    best = {method: tuning.values[labels.index(best_of(labels, means))] for method, labels in tuning.trials.items()}
    notes.append("Best: " + " ".join(f"--set {method}:{tuning.key}={value}" for method, value in best.items()))
    if any(label not in means for labels in tuning.trials.values() for label in labels):
        notes.append("failed = stopped by updates that were not finite, or for another reason in the run's log.")
    ends = [method for method, value in best.items() if value in (tuning.values[0], tuning.values[-1])]
    if ends:
        notes.append(f"At an end of the grid, so that a wider one might do better: {', '.join(ends)}.")
    return notes


def best_of(labels: Sequence[str], means: dict[str, float]) -> str:
    """The label with the highest mean, the first of equals; runs that failed have none."""
    return max(labels, key=lambda label: means.get(label, -1.0))
