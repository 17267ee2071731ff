"""Whether runs can stand side by side: the same score, images and labels, the same classes to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dusa_ignite.comparison.finished import Stream
from dusa_ignite.errors import DataError
from dusa_ignite.results.score import SCORES, TOP1, Score, score_of


class Evidence(NamedTuple):
    """What tells on which images a run was measured, and among which classes.

    Attributes:
        label: what the run is called in messages.
        streams: its labelled images by task; empty = not known.
        made_of: its run.json; empty = not known.
    """

    label: str
    streams: Mapping[str, Stream]
    made_of: Mapping[str, Any]


def common_score(rows: Mapping[str, Mapping[str, Any]]) -> Score:
    """The score of all runs; top-1 where none has any.

    Args:
        rows: a row of results of each, by what it is called in messages.

    Raises:
        DataError: some are judged by top-1, others by mIoU.
    """
    found = {name: score_of(row) for name, row in rows.items() if any(score.column in row for score in SCORES)}
    first = next(iter(found), "")
    for name, score in found.items():
        if score != found[first]:
            raise DataError(
                f"{first} is judged by {found[first].title}, {name} by {score.title}: classification and segmentation "
                "cannot be compared; leave one of them out"
            )
    return found.get(first, TOP1)


def reasons_against(one: Evidence, other: Evidence) -> list[str]:
    """Why two runs cannot be compared, a sentence each; none where they can, as far as is known.

    Only tasks that both have are looked at.
    """
    pair = f"{one.label} and {other.label}"
    reasons = []
    shared = [task for task in one.streams if task in other.streams]
    different = [task for task in shared if not _same_images(one.streams[task], other.streams[task])]
    if different:
        first = different[0]
        counts = f"{len(one.streams[first].index)} and {len(other.streams[first].index)}"
        reasons.append(f"{pair} saw different images ({first}{_more(different)}: {counts} of them)")
    else:
        files = _differing(one.made_of, other.made_of, "data_fingerprints")
        files = files or [task for task in shared if not _same_labels(one.streams[task], other.streams[task])]
        if files:
            reasons.append(f"{pair} were run on different image files or labels ({files[0]}{_more(files)})")
    names = [(made_of.get("classes") or {}).get("names") for made_of in (one.made_of, other.made_of)]
    if all(names) and names[0] != names[1]:
        reasons.append(f"{pair} have other classes, or another order of them")
    scored = [_scored(made_of) for made_of in (one.made_of, other.made_of)]
    if all(scored) and scored[0] != scored[1]:
        reasons.append(f"{pair} were scored over different classes ({scored[0]} against {scored[1]})")
    return reasons


def all_reasons_against(runs: Sequence[Evidence]) -> list[str]:
    """Those between the first run and each of the others."""
    return [reason for run in runs[1:] for reason in reasons_against(runs[0], run)]


def _same_images(one: Stream, other: Stream) -> bool:
    return np.array_equal(np.sort(one.index), np.sort(other.index))


def _same_labels(one: Stream, other: Stream) -> bool:
    """Of streams of the same images, as far as their sums tell."""
    mine, theirs = (stream.score.labelled(stream.sums)[np.argsort(stream.index)] for stream in (one, other))
    return np.array_equal(mine, theirs)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> list[str]:
    """The tasks that both have, with different values."""
    mine, theirs = one.get(key) or {}, other.get(key) or {}
    return [task for task in mine if task in theirs and mine[task] != theirs[task]]


def _scored(made_of: Mapping[str, Any]) -> str:
    """``all`` or ``present``; what was made before there was a choice was scored over all; empty = not known."""
    return (made_of.get("scored_over") or {"over": "all"})["over"] if made_of else ""


def _more(tasks: Sequence[str]) -> str:
    return f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
