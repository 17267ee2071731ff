"""The frame of an HTML report: one file that opens without a network, on large and small screens.

What comes from outside (names of classes, paths, messages, the config) is escaped here, or where it is put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """
:root{--ink:#1d2430;--soft:#5b6675;--rule:#dfe3e8;--paper:#fff;--shade:#f5f7f9;--a:#1f6fb4;--b:#d9822b;--c:#2c8a4b;--bad:#b3261e}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:1rem;color:var(--ink);background:var(--paper);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem;padding-top:.6rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1rem 0 .3rem}
p{margin:.3rem 0 .6rem;max-width:75ch}
p.soft,figcaption,.soft{color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.9rem}
a{color:var(--a)}
.scroll{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--paper);
max-width:14rem;overflow:hidden;text-overflow:ellipsis}
thead th{color:var(--soft);font-weight:600;vertical-align:bottom;white-space:normal;max-width:6.5rem}
tr.total td{font-weight:700;border-top:2px solid var(--ink)}
table.facts td{white-space:normal;overflow-wrap:anywhere;text-align:left}
table.facts td:first-child{white-space:nowrap;color:var(--soft)}
table.matrix td{text-align:center;padding:.2rem .45rem}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:.8rem 0}
.tile{flex:1 1 8.5rem;padding:.6rem .8rem;background:var(--shade);border-radius:6px}
.tile b{display:block;font-size:1.45rem;line-height:1.2}
.tile span{font-size:.85rem;color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,270px),1fr));gap:.6rem}
.chart{width:100%;height:auto;background:var(--paper)}
.chart text{font-size:11px;fill:var(--soft)}
.chart .title{font-size:13px;font-weight:600;fill:var(--ink)}
.chart .grid{stroke:var(--rule)}
.chart polyline{fill:none;stroke-width:2;stroke-linejoin:round}
.chart .mark{stroke:var(--bad);stroke-width:1.5;fill:none}
.line0{stroke:var(--a);background:var(--a)}.line1{stroke:var(--b);background:var(--b)}.line2{stroke:var(--c);background:var(--c)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.9rem;margin:.3rem 0}
.legend i{display:inline-block;width:1.1rem;height:.25rem;margin-right:.4rem;vertical-align:middle;border-radius:2px}
.legend i.cross{background:none;color:var(--bad);font-style:normal;height:auto;width:auto}
.bar{display:inline-block;height:.65rem;border-radius:2px;vertical-align:middle;min-width:1px}
td.bars{text-align:left;width:45%;min-width:7rem;line-height:.8rem}
td.bars .bar{display:block;margin:1px 0}
.images{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,158px),1fr));gap:.7rem}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:0 2rem}
.columns div{min-width:0}
figure{margin:0;padding:.6rem;background:var(--shade);border-radius:6px;font-size:.85rem;line-height:1.4;min-width:0}
figure img,figure .none{display:block;width:100%;height:110px;object-fit:contain;background:#e9ecf0;border-radius:4px;
margin-bottom:.4rem}
figure img.small{image-rendering:pixelated}
figure .none{text-align:center;line-height:110px;color:var(--soft)}
figure div{overflow-wrap:anywhere}
.ok{color:var(--c)}.wrong{color:var(--bad)}
.guide span{white-space:nowrap}
.guide{margin:.3rem 0 0;padding:.3rem 0 0;border-top:1px solid var(--rule)}
details{margin:.6rem 0}summary{cursor:pointer;font-weight:600}
details.run{border:1px solid var(--rule);border-radius:6px;padding:.6rem .8rem;overflow:hidden}
pre{overflow-x:auto;background:var(--shade);padding:.7rem;border-radius:6px;font-size:.8rem;line-height:1.4}
ul{padding-left:1.2rem}li{overflow-wrap:anywhere}
@media(max-width:520px){body{padding:.6rem;font-size:14px}th,td{padding:.2rem .4rem}
th:first-child,td:first-child{max-width:9.5rem}
.tile{flex-basis:40%}.images{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media print{details.run{border:0}.images figure{break-inside:avoid}}
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole document.

    Args:
        title: any text.
        body: HTML, its parts one after the other.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; style-src '
        f"'unsafe-inline'\"><title>{escape(title)}</title><style>{STYLE}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def section(title: str, body: str, *, note: str = "", anchor: str = "") -> str:
    """A heading and what belongs to it; nothing where there is nothing.

    Args:
        title, note: any text.
        body: HTML.
        anchor: where links lead to.
    """
    if not body:
        return ""
    named = f' id="{escape(anchor)}"' if anchor else ""
    return f"<section{named}><h2>{escape(title)}</h2>{_paragraph(note)}{body}</section>"


def table(header: Sequence[str], lines: Sequence[Sequence[str]], *, total: bool = False, kind: str = "") -> str:
    """A table that scrolls where the screen is narrower.

    Args:
        header: texts; empty = none.
        lines: texts.
        total: whether the last line sums up the others.
        kind: its CSS class.
    """
    head = "<thead><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr></thead>" if header else ""
    rows = [
        f"<tr{' class=total' if total and number == len(lines) else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in line)
        + "</tr>"
        for number, line in enumerate(lines, start=1)
    ]
    return raw_table(head, rows, kind=kind)


def raw_table(head: str, rows: Sequence[str], *, kind: str = "") -> str:
    """As :func:`table`, of rows that are HTML already."""
    return f'<div class="scroll"><table class="{escape(kind)}">{head}<tbody>{"".join(rows)}</tbody></table></div>'


def tiles(numbers: Sequence[tuple[str, str]]) -> str:
    """Large numbers, each with what it is."""
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in numbers
        )
        + "</div>"
    )


def legend(names: Sequence[str], *, crosses: bool = False) -> str:
    """The lines of charts, in the order of their colours."""
    lines = [f'<span><i class="line{number}"></i>{escape(name)}</span>' for number, name in enumerate(names)]
    cross = ['<span><i class="cross">✕</i> the monitor warns</span>'] if crosses else []
    return f'<div class="legend">{"".join([*lines, *cross])}</div>'


def side_by_side(parts: Sequence[str]) -> str:
    """Columns of HTML, where the screen is wide enough; those that are empty take no place."""
    columns = [f"<div>{part}</div>" for part in parts if part]
    return f'<div class="columns">{"".join(columns)}</div>' if columns else ""


def details(title: str, body: str, *, kind: str = "", shown: bool = False) -> str:
    """Something that opens when asked."""
    return (
        f'<details class="{escape(kind)}"{" open" if shown else ""}><summary>{escape(title)}</summary>{body}</details>'
    )


def percent(share: float, digits: int = 1) -> str:
    """``0.8123`` -> ``81.2 %``; a dash for NaN."""
    return "-" if share != share else f"{100 * share:.{digits}f} %"


def _paragraph(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>' if text else ""
