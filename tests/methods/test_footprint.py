"""The guide's work per image, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dusa_ignite.methods.diffusion_tta import DiffusionTta
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.dusa_u import DusaU
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.methods.tent import Tent


@pytest.mark.parametrize(
    ("options", "work"),
    [
        ({}, 3 * 6),
        ({"num_random": 0}, 3 * 4),
        ({"transformer_backward": "sampled"}, 6 + 2),
        ({"transformer_backward": "sampled", "num_top": 3, "num_random": 0}, 3 + 2),
        ({"transformer_backward": "sampled", "guide_gradient_share": 0.5}, 6 + 2 * 0.5),
        ({"transformer_backward": "sampled", "guide_gradient_share": 0.25, "num_random": 0}, 4 + 2 * 0.25),
    ],
)
def test_of_dusa(options: dict[str, Any], work: float) -> None:
    footprint = Dusa.footprint(Dusa.Options(**options))
    assert footprint.guide_work() == pytest.approx(work)
    assert sum(footprint.predictions) == pytest.approx(options.get("num_top", 4) + options.get("num_random", 2))


def test_of_the_others() -> None:
    assert DusaU.footprint(DusaU.Options()).guide_work() == 3 + 6
    assert DiffusionTta.footprint(DiffusionTta.Options(num_samples=5)).guide_work() == 15
    assert Tent.footprint(Tent.Options()).guide_work() == 0


def test_of_a_guide_that_does_not_learn() -> None:
    assert Dusa.footprint(Dusa.Options()).guide_work(learns=False) == 6
    assert Footprint(guide_passes=5, through_guide=True).guide_work(learns=False) == 10
