"""A comparison as text: for the console, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import NamedTuple

from dusa_ignite.comparison.names import short_names
from dusa_ignite.comparison.statistics import Estimate, Interval
from dusa_ignite.comparison.summary import MethodSummary
from dusa_ignite.results.score import TOP1

Grid = list[list[str]]  # the header first

LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def escape_latex(text: str) -> str:
    """The text as LaTeX prints it."""
    return "".join(LATEX_SPECIAL.get(character, character) for character in text)


def escape_markdown(text: str) -> str:
    """The text as a cell of a Markdown table shows it."""
    return "".join(f"\\{character}" if character in "\\|*_<>`" else character for character in text)


class Style(NamedTuple):
    """How cells are marked up."""

    plus_minus: str
    flag: str  # behind the score on a task that went wrong
    no_flag: str
    bold: tuple[str, str]  # around the best
    percent: str
    escape: Callable[[str], str]


CONSOLE = Style("±", "!", " ", ("", ""), "%", str)
MARKDOWN = Style(" ± ", " **!**", "", ("**", "**"), "%", escape_markdown)
LATEX = Style(r" $\pm$ ", r"$^{!}$", "", (r"\textbf{", "}"), r"\%", escape_latex)


def score_grid(summaries: Sequence[MethodSummary], style: Style) -> Grid:
    """The score in percent per task, the best of each column in bold, marked where a method went wrong."""
    tasks = list(summaries[0].scores)
    names = short_names(tasks[:-1])
    best = {task: max(f"{100 * summary.scores[task].mean:05.1f}" for summary in summaries) for task in tasks}
    title = f"{summaries[0].score.title} ({style.percent})"
    grid = [[title, *(style.escape(names.get(task, task)) + style.no_flag for task in tasks)]]
    for summary in summaries:
        flags = {*summary.flagged, *(["mean"] if summary.flagged else [])}
        line = [style.escape(summary.label)]
        for task in tasks:
            bold = f"{100 * summary.scores[task].mean:05.1f}" == best[task]
            flag = style.flag if task in flags else style.no_flag
            line.append(_estimate(summary.scores[task], style, scale=100, bold=bold) + flag)
        grid.append(line)
    return grid


def cost_grid(summaries: Sequence[MethodSummary], style: Style, *, reference: str) -> Grid:
    """Everything else: calibration if any, difference from the reference, cost, and in words what went wrong."""
    names = short_names(list(summaries[0].scores)[:-1])
    calibrated = summaries[0].ece is not None
    with_guide = any(summary.guide_work for summary in summaries)
    with_gpu = any("gpu" in summary.peak_memory for summary in summaries)
    header = ["method", *([f"ECE ({style.percent})"] if calibrated else []), style.escape(f"minus {reference} [95%]")]
    header += ["images/s", *(["guide work"] if with_guide else []), "GiB", *(["GPU GiB"] if with_gpu else [])]
    grid = [[*header, "skipped", "collapse"]]
    for summary in summaries:
        line = [style.escape(summary.label)]
        line += [_estimate(summary.ece, style, scale=100)] if summary.ece else []
        line.append(interval_text(summary.differences["mean"]) if summary.differences else "-")
        line.append(_estimate(summary.images_per_second, style, digits=_digits(summary.images_per_second)))
        line += ["-" if not summary.guide_work else f"{summary.guide_work:g}"] if with_guide else []
        for place in ("host", "gpu") if with_gpu else ("host",):
            size = summary.peak_memory.get(place)
            line.append("-" if size is None else f"{size / 2**30:.2f}")
        grid.append([*line, str(summary.skipped_updates), style.escape(flag_text(summary, names))])
    return grid


def difference_grid(summaries: Sequence[MethodSummary], style: Style, *, reference: str) -> Grid:
    """Points of the score above or below the reference on every task, with intervals."""
    tasks = list(summaries[0].scores)
    names = short_names(tasks[:-1])
    grid = [[style.escape(f"minus {reference}"), *(style.escape(names.get(task, task)) for task in tasks)]]
    for summary in summaries:
        if summary.differences is not None:
            intervals = [interval_text(summary.differences[task]) for task in tasks]
            grid.append([style.escape(summary.label), *intervals])
    return grid


def flag_text(summary: MethodSummary, names: Mapping[str, str]) -> str:
    """``fog, snow (1 of 3 seeds); below chance: snow``; ``-`` where nothing went wrong."""
    total = len(summary.seeds)

    def listed(tasks: Mapping[str, int]) -> str:
        return ", ".join(
            names[task] + (f" ({count} of {total} seeds)" if count < total else "") for task, count in tasks.items()
        )

    parts = [listed(summary.collapsed)] if summary.collapsed else []
    parts += [f"below chance: {listed(summary.below_chance)}"] if summary.below_chance else []
    return "; ".join(parts) or "-"


def interval_text(interval: Interval) -> str:
    """In points: ``-1.20 [-2.00, -0.40]``."""
    difference, low, high = (round(100 * value, 2) + 0.0 for value in interval)  # + 0.0: no minus before zero
    return f"{difference:+.2f} [{low:+.2f}, {high:+.2f}]"


def _estimate(estimate: Estimate, style: Style, *, scale: float = 1, digits: int = 1, bold: bool = False) -> str:
    before, after = style.bold if bold else ("", "")
    mean = f"{before}{scale * estimate.mean:.{digits}f}{after}"
    return mean if estimate.std is None else f"{mean}{style.plus_minus}{scale * estimate.std:.{digits}f}"


def _digits(speed: Estimate) -> int:
    return 0 if speed.mean >= 100 else 1


def console_table(grid: Grid) -> str:
    """Columns of equal width, the first and the last column aligned on the left, a rule under the header."""
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    last_is_text = grid[0][-1] == "collapse"

    def render(line: Sequence[str]) -> str:
        cells = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        cells[0] = line[0].ljust(widths[0])
        if last_is_text:
            cells[-1] = line[-1]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([render(grid[0]), rule, *map(render, grid[1:])])


def markdown_table(grid: Grid) -> str:
    """A table of GitHub's Markdown."""
    header, *lines = (f"| {' | '.join(line)} |" for line in grid)
    return "\n".join([header, f"| --- |{' ---: |' * (len(grid[0]) - 1)}", *lines])


def latex_table(grid: Grid) -> str:
    """A tabular with the rules of booktabs."""
    header, *lines = (f"{' & '.join(line)} \\\\" for line in grid)
    columns = "l" + "r" * (len(grid[0]) - 1)
    rows = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *lines, r"\bottomrule"]
    return "\n".join([*rows, r"\end{tabular}"])


def csv_table(summaries: Sequence[MethodSummary]) -> str:
    """All numbers, shares in [0, 1], a line per method; what does not apply is left empty."""
    tasks = list(summaries[0].scores)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = [_numbers(summary, tasks) for summary in summaries]
    writer.writerow(numbers[0])
    for line in numbers:
        writer.writerow("" if v is None else f"{v:.9g}" if isinstance(v, float) else v for v in line.values())
    return text.getvalue()


def _numbers(summary: MethodSummary, tasks: Sequence[str]) -> dict[str, str | int | float | None]:
    line: dict[str, str | int | float | None] = {"method": summary.label, "seeds": " ".join(map(str, summary.seeds))}
    for task in tasks:
        line |= _columns(summary.score.column, summary.scores[task], f" {task}")
    if summary.ece:
        line |= _columns("ece", summary.ece)
    line |= _columns("images_per_second", summary.images_per_second)
    line["guide_work"] = summary.guide_work
    line |= {f"peak_memory_{place}_bytes": summary.peak_memory.get(place) for place in ("host", "gpu")}
    line["skipped_updates"] = summary.skipped_updates
    for name in ("collapsed", "below_chance") if summary.score == TOP1 else ("collapsed",):
        counts: dict[str, int] = getattr(summary, name)
        line[name] = " ".join(f"{task}:{count}" for task, count in counts.items())  # task:seeds
    for task in tasks:
        interval = summary.differences[task] if summary.differences else None
        for name in Interval._fields:
            line[f"{name} {task}"] = getattr(interval, name) if interval else None
    return line


def _columns(name: str, estimate: Estimate, where: str = "") -> dict[str, float | None]:
    return {f"{name}{where}": estimate.mean, f"{name}_std{where}": estimate.std}
