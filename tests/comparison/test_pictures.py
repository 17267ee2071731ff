"""What the picture's lines are drawn from."""

from __future__ import annotations

import numpy as np
from support.written_runs import pixel_counts

from dusa_ignite.comparison.finished import Stream
from dusa_ignite.comparison.pictures import _looks, in_parts, pareto_front, parts_per_task
from dusa_ignite.results.score import MIOU, TOP1, Score

METHODS = [
    *("source", "bn", "tent", "shot", "eata", "sar", "cotta", "rotta", "deyo", "roid", "lame", "diffusion_tta"),
    *("dusa_u", "dusa"),
]


def stream(sums: list[list[int]], score: Score = TOP1) -> Stream:
    return Stream(np.arange(len(sums)), np.array(sums), score)


def test_parts() -> None:
    assert in_parts(stream([[1, 1], [1, 1], [0, 1], [0, 1], [1, 1], [0, 1], [0, 1]]), 2).tolist() == [0.5, 1 / 3]
    assert in_parts(stream([[1, 1], [0, 1]]), 8).tolist() == [1.0, 0.0]


def test_parts_of_segmentation_are_scored_by_the_sums_of_their_pixels() -> None:
    pixels = ["aaaa:aaaa", "ab:aa", "bb:bb"]  # a: 5 right, 5 labelled, 6 predicted; b: 0 of 1; then only b
    counts = [pixel_counts(image).ravel().tolist() for image in pixels]
    assert in_parts(stream(counts, MIOU), 2).tolist() == [5 / 12, 1.0]


def test_number_of_parts() -> None:
    assert parts_per_task(8, 898) == 8  # 64 over the whole stream
    assert parts_per_task(15, 50_000) == 4
    assert parts_per_task(8, 60) == 2  # no fewer than 25 images behind a point
    assert parts_per_task(95, 10) == 1


def test_fourteen_methods_look_different() -> None:
    looks = _looks(METHODS)
    assert list(looks) == METHODS
    assert len({look["color"] for look in looks.values()}) == 14
    more = _looks([*METHODS, *(f"variant{number}" for number in range(12))])
    assert len({(look["color"], look["linestyle"]) for look in more.values()}) == 26


def test_the_front_leaves_out_what_is_dearer_and_no_better() -> None:
    points = [(18, 0.72), (8, 0.70), (0, 0.60), (0, 0.55), (7, 0.70), (4, 0.58), (18, 0.77), (20, 0.77)]
    assert pareto_front(points) == [(0, 0.60), (7, 0.70), (18, 0.77)]
    assert pareto_front([(-184, 0.72), (-3053, 0.60), (-163, 0.62)]) == [(-3053, 0.60), (-184, 0.72)]
    assert pareto_front([]) == []
