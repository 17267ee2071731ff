"""Means, collapses and paired differences on streams whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from dusa_ignite.comparison.finished import Stream
from dusa_ignite.comparison.statistics import has_collapsed, mean_and_std, paired_differences, quarters
from dusa_ignite.errors import DataError


def blocks(*accuracies: int) -> np.ndarray:
    """Parts of 20 images each, with so many of them right."""
    return np.concatenate([np.arange(20) < right for right in accuracies])


def stream(text: str, index: list[int] | None = None) -> Stream:
    correct = np.array([character == "+" for character in text])
    return Stream(np.arange(len(text)) if index is None else np.array(index), correct)


def test_mean_and_std() -> None:
    assert mean_and_std([0.5, 0.7, 0.9]) == pytest.approx((0.7, 0.2))  # sqrt((0.04 + 0 + 0.04) / 2)
    assert mean_and_std([0.5]) == (0.5, None)


def test_quarters() -> None:
    assert quarters(blocks(10, 1, 1, 5)) == (0.5, 0.25)
    assert quarters(np.array([True, False, False])) == (1.0, 0.0)  # fewer than four images: one each
    assert quarters(np.array([True, True, False, False, False, True, True, True, True])) == (1.0, 1.0)  # 9 // 4 = 2


@pytest.mark.parametrize(
    ("method", "source", "collapsed"),
    [
        ((10, 10, 10, 10), (10, 10, 10, 10), False),
        ((10, 10, 10, 5), (10, 10, 10, 10), True),  # 25 points below its own first quarter
        ((10, 10, 10, 8), (10, 10, 10, 10), False),  # ten points exactly are not more
        ((10, 10, 10, 7), (10, 10, 10, 10), True),  # 15 points
        ((10, 10, 10, 7), (10, 10, 10, 6), False),  # Source falls by 20 points as well
        ((10, 10, 10, 7), (10, 10, 10, 8), True),  # Source falls by ten points only: it holds
        ((4, 4, 4, 4), (10, 10, 10, 10), True),  # at 20 %, below half of 50 %
        ((5, 5, 5, 5), (10, 10, 10, 10), False),  # half is not below half
        ((18, 10, 10, 4), (18, 10, 10, 10), True),  # Source falls too, but this is below half of it
        ((0, 0, 0, 0), (0, 0, 0, 0), False),  # as bad as Source; the flag for chance catches it
        ((20, 0, 0, 20), (10, 10, 10, 10), False),  # the quarters between do not count
    ],
)
def test_collapse(method: tuple[int, ...], source: tuple[int, ...], collapsed: bool) -> None:
    assert has_collapsed(blocks(*method), blocks(*source)) is collapsed


def test_differences_are_exact_and_paired_in_any_order() -> None:
    method = {0: {"fog": stream("+-++"), "snow": stream("++--")}, 1: {"fog": stream("++++"), "snow": stream("----")}}
    reference = {
        0: {"fog": stream("-+++", [3, 2, 1, 0]), "snow": stream("+-", [0, 1])},
        1: {"fog": stream("--++"), "snow": stream("-+--", [3, 2, 1, 0])},
    }
    with pytest.raises(DataError, match=r"snow, seed 0: .* did not see the same images"):
        paired_differences(method, reference)
    reference[0]["snow"] = stream("+-+-", [2, 3, 0, 1])
    found = paired_differences(method, reference)
    # fog: (3 + 4 right) - (3 + 2 right) of 8; snow: (2 + 0) - (2 + 1) of 8
    assert [found[task].difference for task in ("fog", "snow", "mean")] == [0.25, -0.125, 0.0625]
    assert list(found) == ["fog", "snow", "mean"]


def test_equal_predictions_differ_by_nothing() -> None:
    run = {0: {"fog": stream("+-+--++")}}
    shuffled = {0: {"fog": stream("++--+-+", [6, 5, 4, 3, 2, 1, 0])}}
    assert paired_differences(run, shuffled)["mean"] == (0.0, 0.0, 0.0)


def test_the_interval_is_that_of_the_pairs() -> None:
    """The method is right wherever the reference is, and on 30 of 400 images more: 30 of 400 is a binomial share."""
    reference = {0: {"fog": stream("+" * 200 + "-" * 200)}}
    method = {0: {"fog": stream("+" * 230 + "-" * 170)}}
    found = paired_differences(method, reference)["mean"]
    assert found.difference == 0.075
    assert found.low == pytest.approx(20 / 400, abs=0.0026)  # the 2.5 % quantile of B(400, 0.075), to one image
    assert found.high == pytest.approx(41 / 400, abs=0.0026)  # the 97.5 % quantile


def test_tasks_and_seeds_of_an_image_are_drawn_together() -> None:
    """The same 40 of 400 images gain in four tasks and two seeds: no more is known than from one of them."""
    text = "+" * 40 + "-" * 360
    once = {0: {"fog": stream(text)}}
    tasks = {name: stream(text) for name in ("fog", "snow", "frost", "contrast")}
    nothing = {name: stream("-" * 400) for name in tasks}
    alone = paired_differences(once, {0: {"fog": nothing["fog"]}})["mean"]
    together = paired_differences({0: tasks, 1: tasks}, {0: nothing, 1: nothing})["mean"]
    assert together == pytest.approx(alone)


def test_resampling_is_seeded_and_its_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    method, reference = ({0: {"fog": Stream(np.arange(300), generator.random(300) < share)}} for share in (0.6, 0.5))
    found = paired_differences(method, reference)
    assert paired_differences(method, reference) == found
    assert paired_differences(method, reference, seed=1) != found
    monkeypatch.setattr("dusa_ignite.comparison.statistics.CHUNK", 1000)
    assert paired_differences(method, reference) == found


@pytest.mark.parametrize("reference", [{1: {"fog": stream("+-")}}, {0: {"snow": stream("+-")}}])
def test_other_seeds_or_tasks_are_refused(reference: dict) -> None:
    with pytest.raises(DataError):
        paired_differences({0: {"fog": stream("+-")}}, reference)
