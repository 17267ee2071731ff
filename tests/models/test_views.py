"""The classifier's and the guide's view of a batch, on images small enough to work out by hand."""

from __future__ import annotations

import pytest
import torch

from dusa_ignite.errors import DataError
from dusa_ignite.models.views import classifier_view, guide_view, to_float


def grey(rows: list[list[float]]) -> torch.Tensor:
    """One grey image (1, 3, H, W)."""
    return torch.tensor(rows, dtype=torch.float64).expand(1, 3, -1, -1)


def test_to_float_maps_bytes_to_the_unit_interval() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    device = torch.device("cpu")
    floats = to_float(images, device=device, dtype=torch.float64)
    assert isinstance(floats, torch.Tensor)
    assert floats.flatten().tolist() == [0, 0.2, 1]
    (single,) = to_float([images[0]], device=device, dtype=torch.float32)
    assert single.dtype == torch.float32
    assert single.shape == (3, 1, 1)


def test_classifier_view_leaves_images_of_its_size_alone() -> None:
    images = torch.rand(2, 3, 8, 8)
    view = classifier_view(images, size=8, crop_pct=0.5, interpolation="bicubic")
    assert view.data_ptr() == images.data_ptr()


def test_classifier_view_cuts_the_central_square() -> None:
    rows = [[10.0 * y + x for x in range(6)] for y in range(4)]
    view = classifier_view(grey(rows) / 100, size=2, crop_pct=0.5, interpolation="bilinear")  # 4 of 4 rows: no resize
    torch.testing.assert_close(view, grey([[12, 13], [22, 23]]) / 100, rtol=0, atol=1e-15)


def test_classifier_view_squashes_where_timm_does() -> None:
    rows = [[float(x)] * 4 for x in range(2)]  # 2 x 4, and 4 wide is 2 squashed
    view = classifier_view(grey(rows), size=2, crop_pct=1.0, interpolation="nearest", squash=True)
    assert torch.equal(view, grey([[0, 0], [1, 1]]))


def test_classifier_view_rounds_the_resize_down() -> None:
    image = torch.rand(1, 3, 235, 300)  # 224 / 0.95 = 235.8
    view = classifier_view(image, size=224, crop_pct=0.95, interpolation="bicubic")
    assert torch.equal(view, image[:, :, 6:230, 38:262])  # (235 - 224) / 2 = 5.5 goes to the even 6


def test_classifier_view_shrinks_with_antialiasing() -> None:
    image = grey([[0, 1, 2, 3]] * 4) / 3
    # Twice as wide a triangle: weights 0.75, 0.75, 0.25 over the first three of the row, and mirrored.
    first = (0 * 0.75 + 1 * 0.75 + 2 * 0.25) / 1.75
    expected = grey([[first, 3 - first]] * 2) / 3
    view = classifier_view(image, size=2, crop_pct=1.0, interpolation="bilinear")
    torch.testing.assert_close(view, expected, rtol=0, atol=1e-7)


def test_classifier_view_stays_in_the_unit_interval() -> None:
    image = (torch.rand(1, 3, 9, 9) > 0.5).double()  # bicubic interpolation overshoots at edges
    view = classifier_view(image, size=16, crop_pct=1.0, interpolation="bicubic")
    assert view.min() == 0
    assert view.max() == 1


def test_guide_view_enlarges_with_aligned_corners() -> None:
    view = guide_view(grey([[0, 1], [2, 3]]) / 4, size=3)
    expected = grey([[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]) / 4 * 2 - 1
    torch.testing.assert_close(view, expected, rtol=0, atol=1e-15)
    thirds = guide_view(grey([[0, 1], [0, 1]]), size=4)  # 0, 1/4, 3/4, 1 if the corners were not aligned
    torch.testing.assert_close(thirds, grey([[0, 1 / 3, 2 / 3, 1]] * 4) * 2 - 1, rtol=0, atol=1e-15)


def test_guide_view_shrinks_with_antialiasing() -> None:
    expected = grey([[5 / 7, 16 / 7]] * 2) / 3 * 2 - 1  # the classifier's bilinear weights
    torch.testing.assert_close(guide_view(grey([[0, 1, 2, 3]] * 4) / 3, size=2), expected, rtol=0, atol=1e-7)


def test_guide_view_takes_the_central_square() -> None:
    wide = grey([[0, 1, 2, 3, 4, 5]] * 2) / 10
    torch.testing.assert_close(guide_view(wide, size=2), grey([[0.2, 0.3]] * 2) * 2 - 1)
    tall = wide.transpose(2, 3)
    torch.testing.assert_close(guide_view(tall, size=2), grey([[0.2, 0.2], [0.3, 0.3]]) * 2 - 1)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_guide_view_spans_minus_one_to_one(side: int) -> None:
    black, white = torch.zeros(1, 3, side, side), torch.ones(1, 3, side, side)
    assert torch.equal(guide_view(black, size=8), -torch.ones(1, 3, 8, 8))
    torch.testing.assert_close(guide_view(white, size=8), torch.ones(1, 3, 8, 8))


def test_lists_of_mixed_sizes_are_viewed_one_by_one() -> None:
    images = [torch.rand(3, 8, 8), torch.rand(3, 5, 9), torch.rand(3, 20, 12)]
    options = {"size": 8, "crop_pct": 0.9, "interpolation": "bilinear"}
    together = classifier_view(images, **options)  # type: ignore[arg-type]
    guided = guide_view(images, size=8)
    assert together.shape == guided.shape == (3, 3, 8, 8)
    for i, image in enumerate(images):
        assert torch.equal(together[i : i + 1], classifier_view(image[None], **options))  # type: ignore[arg-type]
        assert torch.equal(guided[i : i + 1], guide_view(image[None], size=8))


# What images may be

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_in_the_unit_interval_stay_as_they_are(dtype: torch.dtype) -> None:
    images = torch.tensor([0, 0.5, 1], dtype=dtype).reshape(1, 3, 1, 1)
    floats = to_float(images, device=CPU, dtype=torch.float64)
    assert isinstance(floats, torch.Tensor)
    assert floats.flatten().tolist() == [0, 0.5, 1]
    assert floats.dtype == torch.float64


def test_rounding_beyond_the_unit_interval_is_clamped() -> None:
    floats = to_float(
        torch.tensor([-5e-4, 0.25, 1.0005]).reshape(3, 1, 1).expand(1, 3, 1, 1), device=CPU, dtype=torch.float64
    )
    assert isinstance(floats, torch.Tensor)
    assert floats.flatten().tolist() == [0, 0.25, 1]


def test_each_image_of_a_list_is_told_by_its_own_dtype() -> None:
    images = [torch.full((3, 1, 1), 51, dtype=torch.uint8), torch.full((3, 2, 1), 0.75), torch.full((1, 1, 2), 0.25)]
    floats = to_float(images, device=CPU, dtype=torch.float64)
    assert [image.unique().tolist() for image in floats] == [[0.2], [0.75], [0.25]]
    assert [tuple(image.shape) for image in floats] == [(3, 1, 1), (3, 2, 1), (3, 1, 2)]  # grey is repeated


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            torch.tensor([0, 127.0, 255]),
            "float32 from 0 to 255; images are float 0 .. 1 or uint8 0 .. 255: divide them by 255",
        ),
        (
            torch.tensor([-2.1, 0, 2.6]),
            "float32 from -2.1 to 2.6; images are float 0 .. 1 or uint8 0 .. 255: they seem to be "
            "normalised: leave that to the classifier",
        ),
        (torch.tensor([0, 0.5, 1.08]), "float32 from 0 to 1.08; images are float 0 .. 1 or uint8 0 .. 255: clamp them"),
        (torch.tensor([0, float("nan"), 1]), "float32 with values that are NaN or infinite; images are float 0 .. 1"),
        (torch.tensor([0, float("inf"), 1]), "float32 with values that are NaN or infinite; images are float 0 .. 1"),
        (
            torch.tensor([0, 7, 65535], dtype=torch.uint16),
            "uint16 from 0 to 65535; images are uint8 0 .. 255 or float 0 .. 1: "
            "convert them (16 bits: divide by 65535)",
        ),
        (
            torch.tensor([0, 7, 255]),
            "int64 from 0 to 255; images are uint8 0 .. 255 or float 0 .. 1: convert them (16 bits: divide by 65535)",
        ),
        (
            torch.tensor([False, True, True]),
            "bool from 0 to 1; images are uint8 0 .. 255 or float 0 .. 1: convert them (16 bits: divide by 65535)",
        ),
    ],
)
def test_other_numbers_are_errors_that_say_what_came(images: torch.Tensor, said: str) -> None:
    for batch in (images.reshape(1, 3, 1, 1), [images.reshape(3, 1, 1)]):
        with pytest.raises(DataError) as caught:
            to_float(batch, device=CPU, dtype=torch.float32)
        assert str(caught.value) == f"images of {said}"


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            (1, 4, 2, 2),
            "shape (1, 4, 2, 2), so 4 channels; images have 3 (RGB) or 1 (grey): put those with alpha on a background",
        ),
        ((1, 2, 2, 2), "shape (1, 2, 2, 2), so 2 channels; images have 3 (RGB) or 1 (grey)"),
        ((1, 8, 8, 3), "shape (1, 8, 8, 3), so the channels seem to come last; images are (3, H, W): permute them"),
        ((8, 8), "shape (8, 8); images are (3, H, W)"),
        ((3, 0, 4), "shape (3, 0, 4); images are (3, H, W)"),
    ],
)
def test_other_shapes_are_errors_that_say_what_came(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(DataError) as caught:
        to_float(torch.zeros(shape, dtype=torch.uint8), device=CPU, dtype=torch.float32)
    assert str(caught.value) == f"images of {said}"


def test_a_batch_without_images_is_one() -> None:
    assert to_float(torch.empty(0, 3, 1, 1, dtype=torch.uint8), device=CPU, dtype=torch.float64).shape == (0, 3, 1, 1)  # type: ignore[union-attr]
    assert to_float([], device=CPU, dtype=torch.float64) == []


def test_classifier_view_without_antialiasing() -> None:
    image = grey([[0, 1, 2, 3]] * 4) / 3
    view = classifier_view(image, size=2, crop_pct=1.0, interpolation="bilinear", antialias=False)
    torch.testing.assert_close(view, grey([[0.5, 2.5]] * 2) / 3, rtol=0, atol=1e-7)  # the two nearest, half each
