"""What a report gathers from the predictions of a run that segments, and shows of them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dusa_ignite.data import Task
from dusa_ignite.results.label_pictures import class_colour, coloured, label_pictures
from dusa_ignite.results.pixel_digest import SHOWN, digest_pixels
from dusa_ignite.results.pixel_predictions import COLUMNS
from dusa_ignite.results.pixel_sums import Shown

LINES = [  # adapted: class 0 3 of 6, class 1 1 of 4, in the first image; all right in the second
    ("fog", 0, "a.png", "predictions/fog/000000.png", 0.5, 0.25, "0:3/5/4 1:1/3/4", "0:1/5/4 1:0/3/4"),
    ("fog", 1, "b.png", "predictions/fog/000001.png", 0.75, 0.75, "0:8/8/8", "0:8/8/8"),
    ("snow", 0, "c.png", "predictions/snow/000000.png", 1.0, "", "", ""),
]


def write(folder: Path, lines: list[tuple[object, ...]] = LINES) -> Path:
    path = folder / "predictions.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *lines])
    return path


def test_by_hand(tmp_path: Path) -> None:
    found = digest_pixels(write(tmp_path), images={"fog": 2, "snow": 1}, num_classes=3)
    first, second = found.tasks["fog"].points
    assert (first.images, first.confidence, first.agreement) == (1, 0.5, 0.25)
    assert first.score == pytest.approx((3 / 6 + 1 / 6) / 2)  # 3 right of 5 labelled and 4 predicted; 1 of 3 and 4
    assert first.source_score == pytest.approx((1 / 8 + 0) / 2)
    assert second.score == pytest.approx((11 / 14 + 1 / 6) / 2)  # of both images together
    assert math.isnan(first.largest)
    (unlabelled,) = found.tasks["snow"].points
    assert all(math.isnan(value) for value in (unlabelled.score, unlabelled.source_score, unlabelled.agreement))
    assert (found.whole.images, found.whole.asked, found.num_changed) == (3, 2, 0)
    assert found.pixels is not None
    assert found.pixels.counts.tolist() == [[11, 1, 0], [13, 3, 0], [12, 4, 0]]
    assert found.pixels.source[0].tolist() == [9, 0, 0]
    assert [(one.task, one.position) for one in found.pixels.shown] == [("fog", 0), ("fog", 1), ("snow", 0)]


def test_a_task_that_is_not_asked_for_is_left_out(tmp_path: Path) -> None:
    found = digest_pixels(write(tmp_path), images={"fog": 2}, num_classes=3)
    assert list(found.tasks) == ["fog"]


def test_the_images_that_are_shown_are_always_the_same(tmp_path: Path) -> None:
    many = [("fog", number, "", f"predictions/fog/{number:06d}.png", 0.5, 0.5, "", "") for number in range(40)]
    found = digest_pixels(write(tmp_path, many), images={"fog": 40}, num_classes=3)
    backwards = digest_pixels(write(tmp_path, many[::-1]), images={"fog": 40}, num_classes=3)
    assert found.pixels is not None
    assert backwards.pixels is not None
    assert len(found.pixels.shown) == SHOWN
    assert {one.position for one in found.pixels.shown} == {one.position for one in backwards.pixels.shown}


def test_classes_have_colours_of_their_own() -> None:
    colours = [class_colour(label) for label in range(20)]
    assert len(set(colours)) == 20
    assert coloured(np.array([[0, 255]]))[:, 0, 1].tolist() == [150, 150, 150]


def test_pictures_of_an_image_its_labels_and_its_map(tmp_path: Path) -> None:
    class Maps:
        labels = torch.tensor([-1, -1])

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(3, 4, 6, dtype=torch.uint8), torch.full((4, 6), 255 if index else 1)

        def fingerprint(self) -> str:
            return "maps"

    (tmp_path / "predictions").mkdir()
    Image.fromarray(np.ones((4, 6), dtype=np.uint8)).save(tmp_path / "predictions" / "0.png")
    shown = [Shown("fog", 0, "", "predictions/0.png", 1.0), Shown("fog", 1, "", "predictions/0.png", 1.0)]
    shown.append(Shown("fog", 0, "", "predictions/none.png", 1.0)._replace(position=5))
    found = label_pictures([Task("fog", Maps(), ("a", "b"))], shown, folder=tmp_path)
    assert list(found) == [("fog", 0), ("fog", 1)]  # the third cannot be read
    labelled, unlabelled = found.values()
    assert labelled.labels == labelled.predicted
    assert unlabelled.labels is None
    assert labelled.image.uri.startswith("data:image/png;base64,")
