"""Options chosen for every method in the same way: a grid of values, all tried on the same stream.

Choose on data that is not reported on, such as another severity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from dusa_ignite.comparison.comparable import Evidence, all_reasons_against, common_score
from dusa_ignite.comparison.finished import FinishedRun, read_run
from dusa_ignite.comparison.plan import SOURCE, Plan, make_plan, parse_methods, split_own
from dusa_ignite.comparison.report import pooling
from dusa_ignite.comparison.statistics import RESAMPLES, mean_and_std, paired_differences
from dusa_ignite.comparison.tables import Grid, console_table, interval_text, markdown_table
from dusa_ignite.config import method_names
from dusa_ignite.errors import ConfigError, DataError
from dusa_ignite.results.score import Score
from dusa_ignite.results.tables import header_lines
from dusa_ignite.runs.folder import is_finished
from dusa_ignite.utils.durable import write_text

MARKDOWN = "tuning.md"

Values = tuple[str, ...]  # one of each option


@dataclass(frozen=True)
class Tuning:
    """The runs of a grid.

    Attributes:
        plan: all runs, those of Source first.
        grids: by option, such as ``optimizer.lr``, its values as they were typed, in that order.
        trials: for every method the labels of its runs, in the order of ``combinations``.
    """

    plan: Plan
    grids: Mapping[str, Values]
    trials: dict[str, list[str]]

    @property
    def combinations(self) -> list[Values]:
        """All that is tried: a value of every option."""
        return list(product(*self.grids.values()))


def plan_tuning(
    path: str | Path,
    *,
    methods: str,
    grids: Sequence[str],
    seeds: str,
    overrides: Sequence[str] = (),
    own_overrides: Sequence[str] = (),
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Tuning:
    """One entry per method and combination; arguments as for :func:`dusa_ignite.comparison.make_plan`.

    Args:
        grids: ``section.key=value,value,...`` each; of several every combination is tried.

    Raises:
        ConfigError: something given is wrong, or a folder holds a run with another config.
    """
    parsed = parse_grids(grids)
    combinations = list(product(*parsed.values()))
    entries = [entry for entry in parse_methods(methods, known=method_names(path)) if entry.method != SOURCE]
    if not entries:
        raise ConfigError(f"--methods {methods}: Source adapts nothing; name methods that have something to choose")
    trials = {entry.label: ["-".join([entry.label, *values]) for values in combinations] for entry in entries}
    inherited = split_own(own_overrides, list(trials))
    listed, own = [SOURCE], []
    for entry in entries:
        for label, values in zip(trials[entry.label], combinations, strict=True):
            listed.append(f"{label}={entry.method}")
            own += [f"{label}:{text}" for text in [*inherited[entry.label], *_settings(parsed, values)]]
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
    return Tuning(plan, parsed, trials)


def parse_grids(texts: Sequence[str]) -> dict[str, Values]:
    """All grids, by option.

    Raises:
        ConfigError: one is wrong, or two are of the same option.
    """
    grids: dict[str, Values] = {}
    for text in texts:
        key, values = parse_grid(text)
        if key in grids:
            raise ConfigError(f"--grid {text}: {key} has a grid already; write all its values into one")
        grids[key] = values
    return grids


def parse_grid(text: str) -> tuple[str, Values]:
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
    """Write the tables of a finished grid into its folder; return the text for the console.

    Raises:
        DataError: a run cannot be read, all runs of a method have failed, or runs saw different images.
    """
    found = read_trials(tuning)
    rows = {label: [run.rows["mean"] for run in runs] for label, runs in found.items()}
    score = common_score({label: own[0] for label, own in rows.items()})
    means = {label: mean_and_std([row[score.column] for row in own]).mean for label, own in rows.items()}
    for method, labels in tuning.trials.items():
        if SOURCE not in means or not means.keys() & set(labels):
            raise DataError(f"{method if SOURCE in means else SOURCE}: every run failed, for the reasons above")
    grids = [table(tuning, means, title=score.title), difference_table(tuning, found, means)]
    notes = describe(tuning, means, score)
    notes += [f"{scored[0].upper()}{scored[1:]}." for scored in _scored(found)]
    points = "\n".join(f"* {note}" for note in notes)
    written = "\n\n".join([f"```bash\n{command}\n```", *map(markdown_table, grids), points])
    write_text(tuning.plan.folder / MARKDOWN, f"{written}\n")
    return "\n\n".join([*map(console_table, grids), "\n".join(notes), f"{tuning.plan.folder / MARKDOWN}"])


def read_trials(tuning: Tuning) -> dict[str, list[FinishedRun]]:
    """The runs of every label that has finished with all seeds.

    Raises:
        DataError: a run cannot be read, or two cannot be compared.
    """
    finished = [read_run(run.folder, label=run.label) for run in tuning.plan.runs if is_finished(run.folder)]
    seeds = {run.seed for run in tuning.plan.runs}
    for seed in seeds:
        evidence = [Evidence(str(run.folder), run.streams, run.made_of) for run in finished if run.seed == seed]
        for reason in all_reasons_against(evidence):
            raise DataError(f"{reason}; they cannot be compared: run them again with --overwrite")
    by_label = {run.label: [other for other in finished if other.label == run.label] for run in finished}
    return {label: runs for label, runs in by_label.items() if len(runs) == len(seeds)}


def table(tuning: Tuning, means: Mapping[str, float], *, title: str) -> Grid:
    """The mean score in percent, a line per method, a column per combination, the best of a line marked."""
    lines = [[f"{title} (%) by {_keys(tuning)}", *_columns(tuning)]]
    for method, labels in tuning.trials.items():
        best = best_of(labels, means)
        cells = [
            f"{100 * means[label]:.2f}{'*' if label == best else ' '}" if label in means else "failed "
            for label in labels
        ]
        lines.append([method, *cells])
    return lines


def difference_table(tuning: Tuning, found: Mapping[str, Sequence[FinishedRun]], means: Mapping[str, float]) -> Grid:
    """Points of the mean score below the best of the line, with intervals: one that holds 0 is no reason to choose."""
    lines = [["minus the best [95%]", *_columns(tuning)]]
    streams = {label: {run.seed: run.streams for run in runs} for label, runs in found.items()}
    for method, labels in tuning.trials.items():
        best = best_of(labels, means)
        cells = []
        for label in labels:
            if label in means and label != best:
                cells.append(interval_text(paired_differences(streams[label], streams[best])["mean"]))
            else:
                cells.append("best" if label == best else "failed")
        lines.append([method, *cells])
    return lines


def describe(tuning: Tuning, means: Mapping[str, float], score: Score) -> list[str]:
    """What was tried, what came out best, and where the grid was too narrow to tell."""
    config = tuning.plan.runs[0].config
    seeds = list(dict.fromkeys(str(run.seed) for run in tuning.plan.runs))
    severities = getattr(config.data, "severities", ())
    data = f"{config.data.name}, severity {', '.join(map(str, severities))}" if severities else config.data.name
    notes = [
        f"{data}, seeds {', '.join(seeds)}; mean over tasks and seeds; * = best. Source: {100 * means[SOURCE]:.2f}.",
        f"Differences are in points, paired by image and seed; 95% bootstrap intervals from {RESAMPLES} resamples of "
        f"the images.",
        *pooling(score, num_seeds=len(seeds)),
    ]
    best = {
        method: tuning.combinations[labels.index(best_of(labels, means))] for method, labels in tuning.trials.items()
    }
    chosen = [f"--set {method}:{text}" for method, values in best.items() for text in _settings(tuning.grids, values)]
    notes.append(f"Best: {' '.join(chosen)}")
    if any(label not in means for labels in tuning.trials.values() for label in labels):
        notes.append("failed = stopped by updates that were not finite, or for another reason in the run's log.")
    for number, (key, values) in enumerate(tuning.grids.items()):
        ends = [method for method, one in best.items() if one[number] in (values[0], values[-1])]
        if ends:
            of_key = f" of {key}" if len(tuning.grids) > 1 else ""
            notes.append(f"At an end of the grid{of_key}, so that a wider one might do better: {', '.join(ends)}.")
    return notes


def best_of(labels: Sequence[str], means: Mapping[str, float]) -> str:
    """The label with the highest mean, the first of equals; runs that failed have none."""
    return max(labels, key=lambda label: means.get(label, -1.0))


def _settings(grids: Mapping[str, Values], values: Values) -> list[str]:
    return [f"{key}={value}" for key, value in zip(grids, values, strict=True)]


def _keys(tuning: Tuning) -> str:
    return ", ".join(tuning.grids)


def _columns(tuning: Tuning) -> list[str]:
    return [", ".join(values) for values in tuning.combinations]


def _scored(found: Mapping[str, Sequence[FinishedRun]]) -> list[str]:
    return header_lines(found[SOURCE][0].made_of)
