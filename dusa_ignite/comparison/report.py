"""The files of a comparison, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dusa_ignite.comparison import tables
from dusa_ignite.comparison.finished import FinishedRun, differing_origins, read_run
from dusa_ignite.comparison.plan import Plan
from dusa_ignite.comparison.statistics import RESAMPLES
from dusa_ignite.comparison.summary import MethodSummary, summarise
from dusa_ignite.results.score import TOP1, Score
from dusa_ignite.results.tables import header_lines
from dusa_ignite.utils.durable import write_text

CSV, MARKDOWN, LATEX, PICTURE = "comparison.csv", "comparison.md", "comparison.tex", "comparison.png"


def write_report(plan: Plan, *, command: str) -> str:
    """Write the tables and the picture of finished runs into the comparison's folder; return the text for the console.

    Without matplotlib there is no picture, and a line in the text says so.

    Args:
        plan: all its runs are finished.
        command: that repeats the comparison, to stand in the tables.

    Raises:
        DataError: the runs cannot be compared.
    """
    runs = [read_run(run.folder, label=run.label) for run in plan.runs]
    summaries = summarise(runs, reference=plan.reference)
    notes = describe(runs, reference=plan.reference)
    write_text(plan.folder / CSV, tables.csv_table(summaries))
    write_text(plan.folder / MARKDOWN, markdown(summaries, notes, reference=plan.reference, command=command))
    write_text(plan.folder / LATEX, latex(summaries, notes, reference=plan.reference, command=command))
    try:
        from dusa_ignite.comparison.pictures import plot_comparison
    except ImportError:
        picture = None
    else:
        picture = PICTURE
        plot_comparison(plan.folder / picture, runs, summaries)
    return console(summaries, notes, folder=plan.folder, reference=plan.reference, picture=picture)


def describe(runs: Sequence[FinishedRun], *, reference: str) -> list[str]:
    """What the numbers are, a sentence each."""
    config = runs[0].config
    tasks = list(runs[0].streams)
    images = {len(stream) for run in runs for stream in run.streams.values()}
    severities = {severity for _, _, severity in (task.partition("/") for task in tasks)}
    severity = f"severity {severities.pop()}, " if len(severities) == 1 and "" not in severities else ""
    count = f"{min(images)}" if len(images) == 1 else f"{min(images)} to {max(images)}"
    seeds = list(dict.fromkeys(str(run.seed) for run in runs))
    spread = ", mean ± standard deviation over seeds" if len(seeds) > 1 else ", seed"
    title = runs[0].score.title.replace("top", "Top")  # where a sentence begins
    return [
        f"{config.data.name}, {severity}setting {config.setting}, {config.classifier.name}; {count} labelled images "
        f"per task.",
        f"{title}{spread} {', '.join(seeds)}. Peak memory is the largest of the seeds, skipped updates are their sum.",
        f"Differences from {reference} are in points, paired by image and seed; 95% bootstrap intervals from "
        f"{RESAMPLES} resamples of the images, for these seeds.",
        *pooling(runs[0].score, num_seeds=len(seeds)),
        _flags(runs[0].score),
        *(line[0].upper() + line[1:] + "." for line in header_lines(runs[0].made_of)),
        *differing_origins(list(runs)),
    ]


def pooling(score: Score, *, num_seeds: int) -> list[str]:
    """Of what a score that is no mean over images is made; nothing for one that is."""
    if score == TOP1:
        return []
    pooled = ", and for differences over all seeds," if num_seeds > 1 else ""
    return [f"A task's {score.title} is that of its pixels counted over all images{pooled} together."]


def _flags(score: Score) -> str:
    """When a task is marked by ``!``."""
    name, chance = "accuracy", "; or below chance on the whole task."
    if score != TOP1:
        name, chance = score.title, f". {score.title} is not compared with chance: guessing has no one level of it."
    return (
        f"! = collapsed: {name} on the task's final quarter below half of Source's, or more than 10 points below the "
        f"method's own first quarter while Source's is not{chance}"
    )


def console(
    summaries: Sequence[MethodSummary],
    notes: Sequence[str],
    *,
    folder: Path,
    reference: str,
    picture: str | None = PICTURE,
) -> str:
    """Two tables, what they show, and where the files are; ``picture=None`` = there is none without matplotlib."""
    scores = tables.console_table(tables.score_grid(summaries, tables.CONSOLE))
    cost = tables.console_table(tables.cost_grid(summaries, tables.CONSOLE, reference=reference))
    files = f"{folder}: {', '.join(filter(None, (CSV, MARKDOWN, LATEX, picture)))}"
    if picture is None:
        files += "\nno picture: matplotlib is not installed (pip install 'dusa_ignite[plots]')"
    return "\n\n".join([scores, cost, "\n".join(notes), files])


def markdown(summaries: Sequence[MethodSummary], notes: Sequence[str], *, reference: str, command: str) -> str:
    """The same two tables, and the differences on every task."""
    style = tables.MARKDOWN
    grids = [
        tables.score_grid(summaries, style),
        tables.cost_grid(summaries, style, reference=reference),
        tables.difference_grid(summaries, style, reference=reference),
    ]
    points = "\n".join(f"* {note}" for note in notes)
    shown = [tables.markdown_table(grid) for grid in grids if len(grid) > 1]
    return "\n\n".join([f"```bash\n{command}\n```", *shown, points]) + "\n"


def latex(summaries: Sequence[MethodSummary], notes: Sequence[str], *, reference: str, command: str) -> str:
    """The two tables as tabulars, what they show as comments."""
    style = tables.LATEX
    comments = "\n".join(f"% {line}" for line in [command, "Needs \\usepackage{booktabs}.", *notes])
    grids = [
        tables.score_grid(summaries, style),
        tables.cost_grid(summaries, style, reference=reference),
    ]
    return "\n\n".join([comments, *map(tables.latex_table, grids)]) + "\n"
