"""What the picture's lines are drawn from."""

from __future__ import annotations

import numpy as np

from dusa_ignite.comparison.pictures import _looks, in_parts, parts_per_task

METHODS = [
    *("source", "bn", "tent", "shot", "eata", "sar", "cotta", "rotta", "deyo", "roid", "lame", "diffusion_tta"),
    *("dusa_u", "dusa"),
]


def test_parts() -> None:
    assert in_parts(np.array([1, 1, 0, 0, 1, 0, 0], dtype=bool), 2).tolist() == [0.5, 1 / 3]
    assert in_parts(np.array([True, False]), 8).tolist() == [1.0, 0.0]


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
