"""What one image adds to the scores, as text."""

from __future__ import annotations

import numpy as np
import pytest

from dusa_ignite.results.pixel_predictions import counts_text, read_counts


def test_there_and_back() -> None:
    counts = np.zeros((3, 9), dtype=np.int64)
    counts[:, 3], counts[:, 7] = (120, 150, 130), (0, 0, 12)
    assert counts_text(counts) == "3:120/150/130 7:0/0/12"
    assert np.array_equal(read_counts("3:120/150/130 7:0/0/12", num_classes=9), counts)
    assert not read_counts("", num_classes=9).any()


@pytest.mark.parametrize("text", ["9:1/2/3", "-1:1/2/3", "3:1/2", "3:1/2/3/4", "3", "x:1/2/3"])
def test_what_no_run_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int()'s own words, too
        read_counts(text, num_classes=9)
