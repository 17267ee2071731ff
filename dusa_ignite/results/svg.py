"""Line charts as inline SVG: no library, no file, sharp on every screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 26, 30  # pixels around the plot
Line = Sequence[tuple[float, float]]


def line_chart(title: str, lines: Mapping[str, Line], *, marks: Line = ()) -> str:
    """Shares along a stream.

    Args:
        title: any text.
        lines: by what CSS calls them (``line0``, ``line1``, ...), points (images, share in [0, 1]); those that are not
            finite are left out. A line of a single point is a dot.
        marks: points that get a cross.
    """
    longest = max((x for line in [*lines.values(), marks] for x, _ in line), default=1) or 1
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="{LEFT}" y="16">{escape(_short(title))}</text>',
    ]
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent / 100)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{percent}%</text>')
    bottom = HEIGHT - BOTTOM + 16
    parts.append(f'<text class="tick" x="{LEFT}" y="{bottom}">0</text>')
    parts.append(f'<text class="tick" x="{WIDTH - RIGHT}" y="{bottom}" text-anchor="end">{longest:.0f} images</text>')
    for name, line in lines.items():
        places = [(_x(x / longest), _y(y)) for x, y in line if math.isfinite(y)]
        if len(places) == 1:
            parts.append(f'<circle class="{escape(name)}" cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="2.5"/>')
        elif places:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline class="{escape(name)}" points="{points}"/>')
    for x, y in marks:
        left, top = _x(x / longest), _y(y)
        parts.append(
            f'<path class="mark" d="M{left - 3:.1f} {top - 3:.1f}l6 6m0 -6l-6 6"><title>monitor warns</title></path>'
        )
    return "".join([*parts, "</svg>"])


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM)


def _short(title: str, length: int = 40) -> str:
    return title if len(title) <= length else title[: length - 1] + "…"
