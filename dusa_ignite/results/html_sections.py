"""The sections of a run's HTML report, in the order in which a reader wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from dusa_ignite.results.html import details, legend, percent, section, side_by_side, table, tiles
from dusa_ignite.results.html_classes import classes_section, confusions_section, shares_section
from dusa_ignite.results.html_images import images_section
from dusa_ignite.results.html_pixels import iou_section, maps_section
from dusa_ignite.results.report_content import Content
from dusa_ignite.results.rows import COLUMNS, is_missing
from dusa_ignite.results.svg import line_chart
from dusa_ignite.results.tables import cell_text, scored_line

HEADINGS = {
    "top1": "top-1 (%)", "top5": "top-5 (%)", "ece": "ECE (%)", "ema_top1": "averaged norms (%)",
    "source_top1": "source model (%)", "miou": "mIoU (%)", "pixel_accuracy": "pixel accuracy (%)",
    "ema_miou": "averaged norms (%)", "source_miou": "source model (%)", "agreement": "same as source (%)",
    "images_per_second": "images/s", "skipped_updates": "skipped updates",
}  # fmt: skip
COUNTS = ("skipped_updates", "unreadable", "warnings", "rollbacks")  # a column of zeros says nothing
MOST_CHARTS = 30


def sections(run: Content) -> list[str]:
    """All of them, as HTML; those that the run has nothing for are empty."""
    return [
        headline(run),
        results_section(run),
        curves_section(run),
        warnings_section(run),
        side_by_side([shares_section(run), classes_section(run) + confusions_section(run)]),
        iou_section(run),
        images_section(run) if run.digest.pixels is None else maps_section(run),
        cost_section(run),
        config_section(run),
    ]


def headline(run: Content) -> str:
    """The numbers that everybody asks for first."""
    mean, whole = run.mean, run.digest.whole
    numbers = [(f"{int(mean.get('images', 0)):,}", "images")]
    own, by_source = run.score.column, f"source_{run.score.column}"
    if run.labelled:
        numbers.append((percent(mean[own]), f"{run.score.title}, mean of the tasks"))
    if by_source in mean:
        gain = 100 * (mean[own] - mean[by_source])
        numbers += [(percent(mean[by_source]), "source model"), (f"{gain:+.1f}", "points above the source model")]
    if whole.asked and run.digest.pixels is None:
        numbers.append((f"{run.digest.num_changed:,}", "images have changed their class"))
    if "warnings" in mean:
        numbers.append((f"{int(mean['warnings'])}", "warnings of the monitor"))
    return tiles(numbers)


def results_section(run: Content) -> str:
    """The table of results.csv."""
    columns = [column for column in COLUMNS if any(_tells(column, row.get(column)) for row in run.rows)]
    lines = [[cell_text(column, row.get(column)) for column in columns] for row in run.rows]
    note = scored_line(run.summary.get("scored_over") or run.made_of.get("scored_over"))
    header = [HEADINGS.get(column, column) for column in columns]
    note = note or ("" if run.labelled else "No image has a label, so there is no accuracy.")
    return section("Results", table(header, lines, total=True), note=note, anchor="results")


def _tells(column: str, value: object) -> bool:
    return not is_missing(value) and (column not in COUNTS or value != 0)


def curves_section(run: Content) -> str:
    """A chart per task: accuracies where there are labels, else what can be seen without."""
    tasks = dict(list(run.digest.tasks.items())[:MOST_CHARTS])
    so_far = f"{run.score.title} so far"
    names = [f"adapted, {so_far}", f"source model, {so_far}"] if run.labelled else []
    names = names if run.has_source else names[:1]
    names = names or ["same class as the source model", "mean confidence", "share of the most frequent class"]
    names = names[:2] if run.digest.pixels else names
    charts = []
    for name, task in tasks.items():
        points = task.points
        lines: list[list[tuple[float, float]]]
        if run.labelled:
            lines = [[(p.images, p.score) for p in points], [(p.images, p.source_score) for p in points]]
        else:
            lines = [
                [(p.images, p.agreement) for p in points],
                [(p.images, p.confidence) for p in points],
                [(p.images, p.largest) for p in points],
            ]
            lines = lines[: len(names)]
        marks = [(images, _height(lines[0], images)) for images in _thinned(run.marks.get(name, ()))]
        charts.append(line_chart(name, {f"line{n}": line for n, line in enumerate(lines)}, marks=marks))
    if not charts:
        return ""
    rest = len(run.digest.tasks) - len(charts)
    note = f"The first {len(charts)} tasks; {rest} more are in the table." if rest else ""
    body = legend(names, crosses=any(run.marks.values())) + f'<div class="charts">{"".join(charts)}</div>'
    return section("Along the stream", body, note=note, anchor="stream")


def _height(line: Sequence[tuple[float, float]], images: float) -> float:
    """Of a line at the first point that has seen so many images."""
    known = [share for at, share in line if at >= images and share == share]
    return known[0] if known else 0.0


def _thinned(marks: Sequence[int], most: int = 40) -> Sequence[int]:
    return marks[:: max(1, len(marks) // most)]


def warnings_section(run: Content) -> str:
    """What the log warns of."""
    if not run.warnings:
        return section("Warnings", "<p>None.</p>", anchor="warnings")
    more = run.num_warnings - len(run.warnings)
    note = f"{more} more are in log.txt." if more else ""
    items = "".join(f"<li>{escape(text)}</li>" for text in run.warnings)
    body = f"<ul>{items}</ul>"
    if len(run.warnings) > 8:
        body = details(f"{run.num_warnings} warnings", body)
    return section("Warnings", body, note=note, anchor="warnings")


def cost_section(run: Content) -> str:
    """Time, speed and memory."""
    mean, lines = run.mean, []
    if mean.get("seconds"):
        lines.append(["time", _duration(mean["seconds"])])
        lines.append(["speed", f"{mean['images'] / mean['seconds']:.1f} images/s"])
    for place, size in (run.summary.get("peak_memory_bytes") or {}).items():
        lines.append([f"peak memory, {place}", f"{size / 2**30:.2f} GiB"])
    hardware = run.made_of.get("hardware") or {}
    lines += [["GPUs", ", ".join(map(str, hardware["gpus"]))]] if hardware.get("gpus") else []
    if "platform" in hardware:
        lines.append(["machine", f"{hardware['platform']}, {hardware.get('cpu_cores')} cores"])
    return section("What it cost", table([], lines, kind="facts") if lines else "", anchor="cost")


def config_section(run: Content) -> str:
    """The config, versions, hashes."""
    made_of = run.made_of
    lines = [[name, str(version)] for name, version in (made_of.get("versions") or {}).items() if version]
    lines += [["git commit", str(made_of["git_commit"])]] if made_of.get("git_commit") else []
    lines += [["command", " ".join(map(str, made_of["command"]))]] if made_of.get("command") else []
    lines += [[f"SHA-256, {name}", str(value)] for name, value in (made_of.get("weights_sha256") or {}).items()]
    for key in ("clean_images", "classes"):
        if made_of.get(key) and len(text := json.dumps(made_of[key], ensure_ascii=False)) < 2000:
            lines.append([key.replace("_", " "), text])
    body = table([], lines, kind="facts") if lines else ""
    if run.config:
        body += details("config.yaml", f"<pre>{escape(run.config)}</pre>")
    return section("How it was made", body, anchor="config")


def facts(run: Content) -> str:
    """A line under the title: method, setting, seed, version."""
    version = (run.made_of.get("versions") or {}).get("dusa_ignite")
    known = [("method", run.summary.get("method")), ("setting", run.summary.get("setting"))]
    known += [("seed", run.made_of.get("seed")), ("dusa_ignite", version)]
    return " · ".join(f"{name} {value}" for name, value in known if value is not None)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
