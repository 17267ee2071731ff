"""An HTML report of one run, or of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dusa_ignite.results.html import details, page, section, table
from dusa_ignite.results.html_sections import facts, sections
from dusa_ignite.results.report_content import Content
from dusa_ignite.results.score import Score
from dusa_ignite.results.tables import cell_text

LINKS = {
    "results": "results",
    "stream": "stream",
    "warnings": "warnings",
    "images": "images",
    "config": "config",
}


def run_page(run: Content) -> str:
    """The report of a run, a whole document."""
    links = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in LINKS.items())
    head = f'<h1>{escape(run.name)}</h1><p class="soft">{escape(facts(run))}</p><nav>{links}</nav>'
    return page(run.name, [head, *sections(run)])


def runs_page(runs: Mapping[str, Content], *, comparison: str) -> str:
    """Several runs, side by side and each by itself, a whole document.

    Args:
        runs: by name, at least one.
        comparison: text, such as paired differences and what speaks against comparing them.
    """
    title = " / ".join(runs)
    body = [
        f"<h1>{escape(title)}</h1>",
        section("The runs", _overview(runs)),
        section("Accuracy by task", _accuracies(runs), note=f"{_score(runs).title} in per cent."),
        section("Differences and warnings", f"<pre>{escape(comparison)}</pre>" if comparison else ""),
    ]
    for name, run in runs.items():
        inner = f'<p class="soft">{escape(facts(run))}</p>' + "\n".join(_without_anchors(sections(run)))
        body.append(details(name, inner, kind="run", shown=len(runs) == 1))
    return page(title, body)


def _score(runs: Mapping[str, Content]) -> Score:
    """Of all of them; runs with different ones are refused before."""
    return next(iter(runs.values())).score


def _overview(runs: Mapping[str, Content]) -> str:
    score = _score(runs)
    columns = {
        "images": "images", score.column: f"{score.title} (%)", f"source_{score.column}": "source (%)",
        "agreement": "as source (%)", "warnings": "warnings", "skipped_updates": "skipped updates",
        "seconds": "seconds",
    }  # fmt: skip
    lines = []
    for name, run in runs.items():
        memory = (run.summary.get("peak_memory_bytes") or {}).values()
        made = [str(run.summary.get(key, "-")) for key in ("method", "setting")] + [str(run.made_of.get("seed", "-"))]
        numbers = [cell_text(column, run.mean.get(column)) for column in columns]
        lines.append([name, *made, *numbers, f"{max(memory) / 2**30:.2f}" if memory else "-"])
    return table(["run", "method", "setting", "seed", *columns.values(), "peak memory (GiB)"], lines)


def _accuracies(runs: Mapping[str, Content]) -> str:
    if not any(run.labelled for run in runs.values()):
        return ""
    tasks = list(dict.fromkeys(row["task"] for run in runs.values() for row in run.tasks))
    column = _score(runs).column
    by_task = {name: {row["task"]: row.get(column) for row in run.rows} for name, run in runs.items()}
    lines = [[task, *(cell_text(column, by_task[name].get(task)) for name in runs)] for task in [*tasks, "mean"]]
    return table(["task", *runs], lines, total=True)


def _without_anchors(parts: Sequence[str]) -> list[str]:
    """A document has every anchor once."""
    return [part.replace(f'<section id="{anchor}"', "<section", 1) for part in parts for anchor in [_anchor(part)]]


def _anchor(part: str) -> str:
    return part.partition('<section id="')[2].partition('"')[0]
