"""Where windows lie, and which logits belong to each."""

from __future__ import annotations

import pytest
import torch

from dusa_ignite.segmentation.windows import Window, crop_image, crop_logits, sliding_windows, window_starts


@pytest.mark.parametrize(
    ("length", "starts"),
    [(512, [0]), (513, [0, 1]), (683, [0, 171]), (684, [0, 171, 172]), (1024, [0, 171, 342, 512])],
)
def test_starts_of_the_papers_windows(length: int, starts: list[int]) -> None:
    assert window_starts(length, size=512, stride=171) == starts


@pytest.mark.parametrize(("length", "size", "stride"), [(9, 4, 3), (10, 4, 3), (4, 4, 4), (17, 5, 1), (23, 8, 8)])
def test_windows_cover_an_axis_and_stay_in_it(length: int, size: int, stride: int) -> None:
    starts = window_starts(length, size=size, stride=stride)
    assert sorted({place for start in starts for place in range(start, start + size)}) == list(range(length))
    assert len(set(starts)) == len(starts)


def test_both_axes_slide() -> None:
    tall = sliding_windows(12, 8, size=8, stride=4)
    assert tall == [Window(0, 0, 8, 8), Window(4, 0, 8, 8)]
    assert sliding_windows(8, 12, size=8, stride=4) == [Window(0, 0, 8, 8), Window(0, 4, 8, 8)]
    assert [window[:2] for window in sliding_windows(12, 12, size=8, stride=4)] == [(0, 0), (0, 4), (4, 0), (4, 4)]


@pytest.mark.parametrize(("size", "stride"), [(9, 3), (0, 1), (8, 0), (4, 5)])
def test_windows_that_cannot_be(size: int, stride: int) -> None:
    with pytest.raises(ValueError, match=r"window of|stride"):
        window_starts(8, size=size, stride=stride)


def test_an_images_window() -> None:
    image = torch.arange(24.0).view(1, 1, 4, 6)
    assert crop_image(image, Window(1, 2, 2, 3)).tolist() == [[[[8, 9, 10], [14, 15, 16]]]]


def test_logits_are_cut_at_their_own_scale() -> None:
    logits = torch.arange(171.0).expand(1, 2, 128, 171)  # of an image of 512 x 683, at a quarter
    part = crop_logits(logits, Window(0, 171, 512, 512), image_size=(512, 683))
    assert part.shape == (1, 2, 128, 128)
    assert part[0, 0, 0, [0, -1]].tolist() == [43, 170]  # 171 / 683 of 171 = 42.8; an eighth would begin at 21
    full = crop_logits(logits, Window(0, 0, 512, 512), image_size=(512, 683))
    assert full[0, 0, 0, [0, -1]].tolist() == [0, 127]  # 512 / 683 of 171 = 128.2


def test_other_scales() -> None:
    logits = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 2, 4)  # a 16th of the resolution
    assert crop_logits(logits, Window(8, 24, 16, 16), image_size=(32, 64))[0, 0].tolist() == [[2.0]]
    assert crop_logits(logits, Window(0, 0, 2, 2), image_size=(32, 64))[0, 0].tolist() == [[0.0]]  # never none
    assert crop_logits(logits, Window(30, 62, 2, 2), image_size=(32, 64))[0, 0].tolist() == [[3.0]]


def test_windows_and_their_logits_stay_together() -> None:
    """What a window shows and what its logits say belong to the same place, also in tall images."""
    place = torch.arange(24.0)[:, None].expand(24, 16)  # rows count from the top
    image, logits = place.expand(1, 3, 24, 16), (place[2::4, ::4]).expand(1, 2, 6, 4)
    for window in sliding_windows(24, 16, size=16, stride=4):
        seen = crop_image(image, window)[0, 0].mean()
        said = crop_logits(logits, window, image_size=(24, 16))[0, 0].mean()
        assert abs(seen - said) <= 0.5
