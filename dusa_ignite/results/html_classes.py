"""What an HTML report says of classes: their shares, their accuracies, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from html import escape

from dusa_ignite.results.digest import Counts
from dusa_ignite.results.html import legend, percent, raw_table, section, table
from dusa_ignite.results.report_content import Content

MOST_CLASSES = 30  # in a table
MATRIX = 20  # classes that still fit a confusion matrix
MOST_CONFUSIONS = 30


def shares_section(run: Content) -> str:
    """How often each class is predicted, adapted and by the source model; and how often it is the label."""
    whole = run.digest.whole
    if not whole.predicted:
        return ""
    truth: Counter[int] = Counter()
    for (label, _), count in whole.pairs.items():
        truth[label] += count
    columns = {"adapted": (whole.predicted, whole.images), "source model": (whole.by_source, whole.asked)}
    columns |= {"labels": (truth, truth.total())}
    shares = {
        name: {label: counts[label] / total for label in counts} for name, (counts, total) in columns.items() if total
    }
    labels = sorted({label for share in shares.values() for label in share})
    note = "Over all tasks. Classes that swell or vanish are what harm looks like without labels."
    if len(labels) > MOST_CLASSES:
        labels = sorted(sorted(labels, key=lambda label: -_difference(shares, label))[:MOST_CLASSES])
        note += f" The {MOST_CLASSES} classes whose share has changed most."
    longest = max(share for by_label in shares.values() for share in by_label.values())
    rows = []
    for label in labels:
        cells = "".join(f"<td>{percent(by_label.get(label, 0.0))}</td>" for by_label in shares.values())
        bars = "".join(
            f'<span class="bar line{_line(name)}" style="width:{100 * by_label.get(label, 0.0) / longest:.1f}%"></span>'
            for name, by_label in shares.items()
        )
        rows.append(f'<tr><td>{escape(run.class_name(label))}</td>{cells}<td class="bars">{bars}</td></tr>')
    head = "".join(f"<th>{escape(name)}</th>" for name in ("class", *shares, ""))
    body = legend(list(shares)) if len(shares) != 2 or "labels" not in shares else ""
    return section("Shares of the classes", body + raw_table(f"<thead><tr>{head}</tr></thead>", rows), note=note)


def _line(name: str) -> int:
    return ("adapted", "source model", "labels").index(name)


def _difference(shares: dict[str, dict[int, float]], label: int) -> float:
    first, *others = (by_label.get(label, 0.0) for by_label in shares.values())
    return abs(first - others[0]) if others else first


def classes_section(run: Content) -> str:
    """Accuracy by class, beside the source model's."""
    whole = run.digest.whole
    total, hits = _by_label(whole)
    if not total:
        return ""
    known = whole.asked > 0
    labels, note = sorted(total), "Over all tasks."
    if len(labels) > MOST_CLASSES:
        gain = {label: hits[label] / total[label] - whole.source_hits[label] / total[label] * known for label in labels}
        ranked = sorted(labels, key=lambda label: gain[label])
        labels = sorted({*ranked[: MOST_CLASSES // 2], *ranked[-MOST_CLASSES // 2 :]})
        what = "have lost and gained most against the source model" if known else "are worst and best"
        note = f"Over all tasks; of {len(ranked)} classes the {len(labels)} that {what}."
    header = ["class", "images", "adapted (%)", *(["source model (%)", "points"] if known else [])]
    lines = []
    for label in labels:
        adapted, source = 100 * hits[label] / total[label], 100 * whole.source_hits[label] / total[label]
        line = [run.class_name(label), str(total[label]), f"{adapted:.1f}"]
        lines.append([*line, *([f"{source:.1f}", f"{adapted - source:+.1f}"] if known else [])])
    return section("Accuracy by class", table(header, lines), note=note, anchor="classes")


def confusions_section(run: Content) -> str:
    """A matrix where it fits, else the largest confusions."""
    pairs = run.digest.whole.pairs
    classes = sorted({label for pair in pairs for label in pair})
    if not pairs:
        return ""
    if len(classes) <= MATRIX:
        return section(
            "Confusions", _matrix(run, pairs, classes), note="Rows: label. Columns: predicted. Per cent of row."
        )
    total, _ = _by_label(run.digest.whole)
    wrong = sorted((-count, pair) for pair, count in pairs.items() if pair[0] != pair[1])[:MOST_CONFUSIONS]
    lines = [
        [run.class_name(label), run.class_name(predicted), str(-count), percent(-count / total[label])]
        for count, (label, predicted) in wrong
    ]
    header = ["label", "predicted", "images", "of the label's"]
    return section("Confusions", table(header, lines), note=f"The {len(lines)} most frequent.")


def _matrix(run: Content, pairs: Counter[tuple[int, int]], classes: list[int]) -> str:
    total: Counter[int] = Counter()
    for (label, _), count in pairs.items():
        total[label] += count
    head = "".join(f"<th>{escape(run.class_name(label))}</th>" for label in classes)
    rows = []
    for label in classes:
        if not total[label]:
            continue
        cells = []
        for predicted in classes:
            share = pairs[label, predicted] / total[label]
            colour = "44,138,75" if label == predicted else "179,38,30"
            text = f"{100 * share:.0f}" if share >= 0.005 else ""
            cells.append(
                f'<td style="background:rgba({colour},{0.75 * share**0.6:.2f})" '
                f'title="{pairs[label, predicted]} of {total[label]}">{text}</td>'
            )
        rows.append(f"<tr><td>{escape(run.class_name(label))}</td>{''.join(cells)}</tr>")
    return raw_table(f"<thead><tr><th></th>{head}</tr></thead>", rows, kind="matrix")


def _by_label(whole: Counts) -> tuple[Counter[int], Counter[int]]:
    """Images and hits by label."""
    total: Counter[int] = Counter()
    hits: Counter[int] = Counter()
    for (label, predicted), count in whole.pairs.items():
        total[label] += count
        hits[label] += count * (label == predicted)
    return total, hits
