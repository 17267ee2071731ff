"""Means, collapses and paired differences on streams whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.written_runs import hits, pixel_counts

from dusa_ignite.comparison.finished import Stream
from dusa_ignite.comparison.statistics import has_collapsed, mean_and_std, paired_differences, quarters
from dusa_ignite.errors import DataError
from dusa_ignite.results.score import MIOU, TOP1, Score
from dusa_ignite.segmentation.scores import pixel_accuracy


def images(correct: Any, index: Sequence[int] | None = None) -> Stream:
    """Classified images, right or wrong."""
    places = np.arange(len(correct)) if index is None else np.array(index)
    return Stream(places, np.column_stack([correct, np.ones(len(correct))]).astype(np.int32), TOP1)


def blocks(*accuracies: int) -> Stream:
    """Parts of 20 images each, with so many of them right."""
    return images(np.concatenate([np.arange(20) < right for right in accuracies]))


def stream(text: str, index: list[int] | None = None) -> Stream:
    return images(hits(text), index)


def maps(*pixels: str, index: list[int] | None = None) -> Stream:
    """Segmented images, see :func:`pixel_counts`."""
    places = np.arange(len(pixels)) if index is None else np.array(index)
    return Stream(places, np.array([pixel_counts(image).ravel() for image in pixels]), MIOU)


def test_mean_and_std() -> None:
    assert mean_and_std([0.5, 0.7, 0.9]) == pytest.approx((0.7, 0.2))  # sqrt((0.04 + 0 + 0.04) / 2)
    assert mean_and_std([0.5]) == (0.5, None)


def test_quarters() -> None:
    assert quarters(blocks(10, 1, 1, 5)) == (0.5, 0.25)
    assert quarters(stream("+--")) == (1.0, 0.0)  # fewer than four images: one each
    assert quarters(stream("++---++++")) == (1.0, 1.0)  # 9 // 4 = 2


def test_quarters_of_segmentation_are_scored_by_the_sums_of_their_pixels() -> None:
    first = ["aaaa:aaaa", "ab:aa"]  # a: 5 right of 5 labelled, 6 predicted; b: 0 of 1
    final = ["aabb:aabb", "..bb:aaab"]  # a: 2, 2, 3; b: 3, 4, 3
    found = quarters(maps(*first, *["a:b"] * 4, *final))
    assert found == pytest.approx(((5 / 6 + 0) / 2, (2 / 3 + 3 / 4) / 2))


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


ALL, NINE, HALF, NONE = "a" * 10 + ":" + "a" * 10, "a" * 10 + ":" + "a" * 9 + "b", "ab:aa", "ab:ba"


@pytest.mark.parametrize(
    ("method", "source", "collapsed"),
    [
        ((ALL, ALL, ALL, ALL), (ALL, ALL, ALL, ALL), False),
        ((ALL, NONE, NONE, ALL), (ALL, ALL, ALL, ALL), False),  # the quarters between do not count
        ((ALL, ALL, ALL, NINE), (ALL, ALL, ALL, ALL), True),  # 9/10 and 0 (b is only predicted): 45 %, below half
        ((NINE, NINE, NINE, NINE), (NINE, NINE, NINE, NINE), False),
        ((HALF, HALF, HALF, NONE), (HALF, HALF, HALF, HALF), True),  # (1/2 + 0) / 2 to nothing
        ((ALL, ALL, ALL, HALF), (ALL, ALL, ALL, HALF), False),  # Source falls as well
    ],
)
def test_collapse_of_segmentation(method: tuple[str, ...], source: tuple[str, ...], collapsed: bool) -> None:
    assert has_collapsed(maps(*method), maps(*source)) is collapsed


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
    assert found.difference == pytest.approx(0.075)
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
    method, reference = ({0: {"fog": images(generator.random(300) < share)}} for share in (0.6, 0.5))
    found = paired_differences(method, reference)
    assert paired_differences(method, reference) == found
    assert paired_differences(method, reference, seed=1) != found
    monkeypatch.setattr("dusa_ignite.comparison.statistics.CHUNK", 1000)
    assert paired_differences(method, reference) == found


@pytest.mark.parametrize("reference", [{1: {"fog": stream("+-")}}, {0: {"snow": stream("+-")}}])
def test_other_seeds_or_tasks_are_refused(reference: dict) -> None:
    with pytest.raises(DataError):
        paired_differences({0: {"fog": stream("+-")}}, reference)


def test_differences_of_segmentation_are_those_of_all_pixels_together() -> None:
    """Every image by itself would give other numbers, and so would every seed."""
    method = {0: {"fog": maps("aabb:aabb", "ab:aa")}, 1: {"fog": maps("ab:ab", "aabb:abbb", index=[1, 0])}}
    reference = {0: {"fog": maps("ab:bb", "aabb:aaab", index=[1, 0])}, 1: {"fog": maps("aabb:aaaa", "ab:bb")}}
    found = paired_differences(method, reference)
    # method: a 2 + 1 + 1 + 1 right of 6, predicted 2 + 2 + 1 + 1 = 6; b 2 + 0 + 1 + 2 of 6, predicted 6
    # reference: a 2 + 0 + 2 + 0 of 6, predicted 3 + 0 + 4 + 0 = 7; b 1 + 1 + 0 + 1 of 6, predicted 1 + 2 + 0 + 2 = 5
    assert found["fog"].difference == pytest.approx((5 / 7 + 5 / 7) / 2 - (4 / 9 + 3 / 8) / 2)
    assert found["mean"] == found["fog"]


def scored(pixels: Sequence[str]) -> float:
    """mIoU of pixels laid side by side, the textbook's way; NaN without any."""
    pairs = [pair for image in pixels for pair in zip(*image.split(":"), strict=True) if pair[0] != "."]
    ious = []
    for label in sorted({label for pair in pairs for label in pair}):
        both = sum(pair == (label, label) for pair in pairs)
        ious.append(both / sum(label in pair for pair in pairs))
    return sum(ious) / len(ious) if ious else float("nan")


def test_an_interval_of_segmentation_is_that_of_images_drawn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"fog": ["aaab", "ab.b", "bbbb", "a.", "abab"], "snow": ["aaab", "ab.b", "bbbb", "a."]}  # one fewer
    answers = {"fog": ["aabb", "bbbb", "bbba", "aa", "abab"], "snow": ["aaab", "abab", "aaaa", "ba"]}
    others = {"fog": ["bbbb", "abbb", "bbbb", "ba", "baba"], "snow": ["aaaa", "bbab", "bbaa", "aa"]}
    ours, theirs = (
        {
            task: [f"{label}:{answer}" for label, answer in zip(labels[task], given[task], strict=True)]
            for task in labels
        }
        for given in (answers, others)
    )
    drawn = np.random.default_rng(3).integers(5, size=(500, 5))
    gains = np.array(
        [
            [
                scored([ours[task][k] for k in row if k < len(ours[task])])
                - scored([theirs[task][k] for k in row if k < len(ours[task])])
                for task in labels
            ]
            for row in drawn.tolist()
        ]
    )
    runs, reference = ({0: {task: maps(*images) for task, images in each.items()}} for each in (ours, theirs))
    found = paired_differences(runs, reference, resamples=500, seed=3)
    for column, task in enumerate(labels):
        ends = np.nanpercentile(gains[:, column], (2.5, 97.5))
        assert found[task] == pytest.approx((scored(ours[task]) - scored(theirs[task]), *ends))
    assert found["mean"][1:] == pytest.approx(np.percentile(np.nanmean(gains, axis=1), (2.5, 97.5)))
    monkeypatch.setattr("dusa_ignite.comparison.statistics.CHUNK", 40)
    assert paired_differences(runs, reference, resamples=500, seed=3) == found


def pixels_right(counts: list[int], *, pixels: int) -> dict[int, dict[str, Stream]]:
    """Images of one class, of which so many pixels are right, the others taken for a second one; by pixel accuracy."""
    sums = np.array([[[right, 0], [pixels, 0], [right, pixels - right]] for right in counts])
    score = Score("pixel_accuracy", "pixel accuracy", lambda sums: pixel_accuracy(_by_class(sums)), MIOU.labelled)
    return {0: {"fog": Stream(np.arange(len(counts)), sums.reshape(len(counts), -1), score)}}


def _by_class(sums: np.ndarray) -> np.ndarray:
    return sums.reshape(*sums.shape[:-1], 3, -1)


def test_any_score_of_sums_will_do() -> None:
    better, worse = pixels_right([9, 8, 9, 10, 7, 9], pixels=10), pixels_right([7, 6, 7, 8, 5, 7], pixels=10)
    assert paired_differences(better, worse)["mean"] == pytest.approx((0.2, 0.2, 0.2))  # always 2 of 10 more
    generator = np.random.default_rng(1)
    gains = generator.integers(-2, 5, size=200)  # of 100 pixels
    base = pixels_right([50] * 200, pixels=100)
    found = paired_differences(pixels_right((50 + gains).tolist(), pixels=100), base)["fog"]
    error = 1.96 * gains.std() / 200**0.5 / 100
    assert found.difference == pytest.approx(gains.mean() / 100)
    assert found.low == pytest.approx(found.difference - error, abs=0.15 * error)
    assert found.high == pytest.approx(found.difference + error, abs=0.15 * error)


def test_other_labels_are_refused() -> None:
    with pytest.raises(DataError, match=r"fog, seed 0: the runs to be paired were not scored on the same labels"):
        paired_differences({0: {"fog": maps("ab:aa")}}, {0: {"fog": maps("aa:aa")}})
