"""Which data sets are labelled: as a whole, pixel by pixel, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dusa_ignite.data.file_list import Chosen
from dusa_ignite.data.segmentation.mapped_images import MappedImages
from dusa_ignite.data.settings import Joined
from dusa_ignite.data.task import is_labelled


class Numbers:
    """Images without files, of which nothing but the labels is ever asked here."""

    def __init__(self, *labels: int) -> None:
        self.labels = np.array(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def fingerprint(self) -> str:
        return ""


class Maps(Numbers):
    """A user's own data set for segmentation."""

    has_label_maps = True


PLAIN, MAPPED = (MappedImages("", files=["a", "b"], maps=maps, num_classes=2) for maps in (None, ["c", "d"]))


@pytest.mark.parametrize(
    ("dataset", "labelled"),
    [
        (Numbers(-1, 3), True),
        (Numbers(-1, -1), False),
        (Maps(-1, -1), True),
        (MAPPED, True),
        (PLAIN, False),
        (MAPPED.chosen([1]), True),
        (Chosen(Maps(-1, -1), [0]), True),
        (Chosen(Numbers(-1, 3), [0]), False),
        (Joined([PLAIN, MAPPED]), True),
        (Joined([PLAIN, Numbers(-1)]), False),
        (Joined([PLAIN, Numbers(0)]), True),
    ],
)
def test_what_is_labelled(dataset: Any, labelled: bool) -> None:
    assert is_labelled(dataset) is labelled
