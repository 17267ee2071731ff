"""The images that have changed their class, as an HTML report shows them."""

from __future__ import annotations

from html import escape

from dusa_ignite.results.digest import Changed
from dusa_ignite.results.html import section
from dusa_ignite.results.predictions import read_pairs
from dusa_ignite.results.report_content import Content

MOST_ASKED = 4  # candidates of the guide that are shown


def images_section(run: Content) -> str:
    """A picture each, both answers, the label where it is known, and the guide's errors."""
    changed = run.digest.changed
    if not run.has_source:
        return ""
    if not changed:
        return section("Images that have changed their class", "<p>None.</p>", anchor="images")
    some = len(changed) < run.digest.num_changed
    which = f"{len(changed)} of {run.digest.num_changed:,}, drawn by chance" if some else f"All {len(changed)}"
    note = f"{which}, in the order of the stream. "
    if any(image.guide for image in changed):
        note += "Guide: its error for each class that it was asked about, the smallest first; smaller = likelier."
    if not run.pictures:
        note += " The images could not be read again, so there are no pictures."
    cards = "".join(_card(run, image) for image in changed)
    return section(
        "Images that have changed their class", f'<div class="images">{cards}</div>', note=note, anchor="images"
    )


def _card(run: Content, image: Changed) -> str:
    picture = run.pictures.get((image.task, image.position))
    if picture is None:
        shown = '<div class="none">no picture</div>'
    else:
        small = ' class="small"' if picture.small else ""
        shown = f'<img{small} loading="lazy" alt="" src="{escape(picture.uri)}">'
    name = image.path or f"{image.task}, {image.position}"
    lines = [
        f"<div>source: {_answer(run, image.source_predicted, image.source_confidence, image.label)}</div>",
        f"<div>adapted: <b>{_answer(run, image.predicted, image.confidence, image.label)}</b></div>",
    ]
    if image.label >= 0:
        lines.append(f"<div>label: {escape(run.class_name(image.label))}</div>")
    lines.append(_guide(run, image))
    return f'<figure>{shown}<figcaption title="{escape(name)}">{escape(name)}</figcaption>{"".join(lines)}</figure>'


def _answer(run: Content, predicted: int, confidence: float, label: int) -> str:
    mark = ""
    if label >= 0:
        mark = '<span class="ok">✓</span> ' if predicted == label else '<span class="wrong">✗</span> '
    return f"{mark}{escape(run.class_name(predicted))} ({100 * confidence:.0f} %)"


def _guide(run: Content, image: Changed) -> str:
    asked = sorted(read_pairs(image.guide), key=lambda pair: pair[1])[:MOST_ASKED]
    if not asked:
        return ""
    errors = ", ".join(f"<span>{escape(run.class_name(label))}: {error:.3f}</span>" for label, error in asked)
    return f'<div class="guide soft">guide: {errors}</div>'
