"""What speaks against setting runs side by side: another score, other labels."""

from __future__ import annotations

import numpy as np
import pytest
from support.written_runs import pixel_counts

from dusa_ignite.comparison.comparable import Evidence, common_score, reasons_against
from dusa_ignite.comparison.finished import Stream
from dusa_ignite.errors import DataError
from dusa_ignite.results.score import MIOU, TOP1


def test_the_score_that_runs_have_in_common() -> None:
    assert common_score({"a": {"top1": 0.5}, "b": {"top1": 0.1}}) == TOP1
    assert common_score({"a": {}, "b": {"miou": 0.1}}) == MIOU  # the first has no labels
    assert common_score({"a": {"agreement": 1.0}}) == TOP1
    with pytest.raises(DataError) as caught:
        common_score({"no": {}, "b": {"miou": 0.1}, "c": {"miou": 0.1}, "d": {"top1": 0.2}})
    assert str(caught.value) == (
        "b is judged by mIoU, d by top-1: classification and segmentation cannot be compared; leave one of them out"
    )


def evidence(name: str, *pixels: str, index: tuple[int, ...]) -> Evidence:
    sums = np.array([pixel_counts(image).ravel() for image in pixels])
    return Evidence(name, {"fog/5": Stream(np.array(index), sums, MIOU)}, {})


def test_label_maps_that_differ() -> None:
    one = evidence("one", "ab:aa", "aa:ab", index=(0, 1))
    assert reasons_against(one, evidence("two", "aa:bb", "ab:ab", index=(1, 0))) == []
    assert reasons_against(one, evidence("two", "ab:ab", "aa:aa", index=(1, 0))) == [
        "one and two were run on different image files or labels (fog/5)"
    ]
