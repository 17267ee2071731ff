"""What an HTML report says of a run that segments: IoU by class, and label maps."""

from __future__ import annotations

from html import escape

import numpy as np

from dusa_ignite.results.html import section, table
from dusa_ignite.results.label_pictures import class_colour
from dusa_ignite.results.report_content import Content
from dusa_ignite.results.thumbnails import Thumbnail
from dusa_ignite.segmentation.scores import class_iou

MOST_CLASSES = 40  # in the table


def iou_section(run: Content) -> str:
    """IoU by class, beside the source model's, and how many of the labelled pixels are of the class."""
    pixels = run.digest.pixels
    if pixels is None or not pixels.counts[1].any():
        return ""
    adapted, labelled = class_iou(pixels.counts), pixels.counts[1]
    source = class_iou(pixels.source) if run.has_source else None
    there = [label for label in range(len(adapted)) if labelled[label]]
    note = "Over all tasks, all pixels counted together."
    if len(there) > MOST_CLASSES:
        there = sorted(sorted(there, key=lambda label: -labelled[label])[:MOST_CLASSES])
        note += f" The {MOST_CLASSES} largest classes."
    lines = []
    for label in there:
        line = [run.class_name(label), f"{100 * labelled[label] / labelled.sum():.1f}", f"{100 * adapted[label]:.1f}"]
        if source is not None:
            line += [f"{100 * source[label]:.1f}", f"{100 * (adapted[label] - source[label]):+.1f}"]
        lines.append(line)
    more = ["source model (%)", "difference"] if source is not None else []
    return section("IoU by class", table(["class", "of the pixels (%)", "adapted (%)", *more], lines), note=note)


def maps_section(run: Content) -> str:
    """Some images with their label maps and the adapted segmenter's."""
    pixels = run.digest.pixels
    if pixels is None or not pixels.shown:
        return ""
    note = f"{len(pixels.shown)} images, drawn by chance: image, label map where there is one, adapted map."
    if not run.maps:
        note += " They could not be read again, so there are no pictures."
    cards = []
    for one in pixels.shown:
        pictures = run.maps.get((one.task, one.position))
        if pictures is None:
            continue
        shown = "".join(_picture(picture) for picture in pictures if picture is not None)
        name = one.path or f"{one.task}, {one.position}"
        same = (
            "" if np.isnan(one.agreement) else f"<div>same as source: {100 * one.agreement:.0f} % of the pixels</div>"
        )
        cards.append(f'<figure>{shown}<figcaption title="{escape(name)}">{escape(name)}</figcaption>{same}</figure>')
    body = _legend(run) + f'<div class="images">{"".join(cards)}</div>' if cards else ""
    return section("Label maps", body, note=note, anchor="images")


def _picture(picture: Thumbnail) -> str:
    return f'<img class="small" loading="lazy" alt="" src="{escape(picture.uri)}">'


def _legend(run: Content) -> str:
    pixels = run.digest.pixels
    assert pixels is not None
    met = np.flatnonzero(pixels.counts.any(axis=0))[:MOST_CLASSES].tolist()
    items = "".join(
        f'<span><i style="background:rgb{class_colour(label)};height:.7rem"></i>{escape(run.class_name(label))}</span>'
        for label in met
    )
    return f'<div class="legend">{items}</div>' if items else ""
