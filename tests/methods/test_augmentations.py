"""The augmentations: every range, each image's own draws, and the changes against torchvision's, image by image."""

from __future__ import annotations

import colorsys
import math
from collections import Counter
from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from dusa_ignite.methods import colours
from dusa_ignite.methods.augmentations import Draw, augment, blur, draw, jitter, move

IMAGES = torch.rand(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ROID: dict[str, Any] = {"padding": "reflect", "blur_and_noise": False}


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


# The draws


def draws(blur_and_noise: bool = True) -> list[Draw]:
    return [draw(own, side=32, blur_and_noise=blur_and_noise) for own in generators(*range(2000))]


@pytest.mark.parametrize(
    ("number", "low", "high"),
    [(0, 0.6, 1.4), (1, 0.7, 1.3), (2, 0.5, 1.5), (3, -0.06, 0.06), (4, 0.7, 1.3), (5, -15, 15), (6, 0.9, 1.1)],
    ids=["brightness", "contrast", "saturation", "hue", "gamma", "degrees", "scale"],
)
def test_ranges(number: int, low: float, high: float) -> None:
    values = torch.tensor([own.numbers[number] for own in draws()])
    assert low <= values.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < values.max() <= high
    assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    assert values.std().item() == pytest.approx((high - low) / 12**0.5, rel=0.05)


def test_range_of_the_blur() -> None:
    values = torch.tensor([own.numbers[10] for own in draws()])
    assert 0.001 <= values.min() < 0.006
    assert 0.495 < values.max() <= 0.5


@pytest.mark.parametrize("number", [7, 8])
def test_shifts_are_whole_pixels_up_to_a_sixteenth_of_the_padded_image(number: int) -> None:
    counts = Counter(own.numbers[number] for own in draws())
    assert sorted(counts) == list(range(-4, 5))  # of 64 pixels
    for shift in range(-3, 4):
        assert counts[shift] == pytest.approx(2000 / 8, rel=0.25)  # the outermost ones are half as likely
    large = [draw(own, side=224, blur_and_noise=False).numbers[number] for own in generators(*range(500))]
    assert (min(large), max(large)) == (-28, 28)


def test_half_of_the_images_are_mirrored() -> None:
    assert sum(own.numbers[9] for own in draws()) / 2000 == pytest.approx(0.5, abs=0.04)
    assert {own.numbers[9] for own in draws()} == {0.0, 1.0}


def test_every_order_of_the_changes_of_colour_is_as_likely() -> None:
    orders = [own.order.tolist() for own in draws()]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    for place in range(5):
        counts = Counter(order[place] for order in orders)
        assert all(counts[change] == pytest.approx(400, rel=0.2) for change in range(5))


def test_noise_is_standard_normal_and_only_where_it_is_needed() -> None:
    noise = torch.stack([own.noise for own in draws()[:50]])
    assert noise.shape == (50, 3, 32, 32)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(1, abs=0.01)
    assert all(own.noise.numel() == own.numbers[10] == 0 for own in draws(blur_and_noise=False))


# Colours


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "gamma"])
def test_changes_of_colour_are_torchvisions(name: str) -> None:
    factors = [0.5, 0.8, 1.0, 1.5]
    ours = getattr(colours, f"adjust_{name}")(IMAGES, torch.tensor(factors, dtype=torch.float64))
    for changed, image, factor in zip(ours, IMAGES, factors, strict=True):
        torch.testing.assert_close(changed, getattr(TF, f"adjust_{name}")(image, factor), rtol=0, atol=1e-14)


def test_hue_is_that_of_the_standard_library() -> None:
    grid = [0.0, 0.2, 0.2, 0.7, 1.0]
    colour = torch.cartesian_prod(*[torch.tensor(grid, dtype=torch.float64)] * 3).T.reshape(1, 3, 5, 25)
    turns = [0.0, 0.06, -0.06, 0.5]
    ours = colours.adjust_hue(colour.repeat(4, 1, 1, 1), torch.tensor(turns, dtype=torch.float64))
    for changed, turn in zip(ours, turns, strict=True):
        for pixel, before in zip(changed.flatten(1).T.tolist(), colour.flatten(2)[0].T.tolist(), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*before)
            assert pixel == pytest.approx(colorsys.hsv_to_rgb((h + turn) % 1, s, v), abs=1e-14)
    torch.testing.assert_close(ours[1], TF.adjust_hue(colour[0], 0.06), rtol=0, atol=1e-5)  # it rounds


def test_changes_of_colour_in_an_order_of_each_images_own() -> None:
    order = torch.tensor([[4, 0, 1, 2, 3], [0, 4, 3, 2, 1], [1, 4, 0, 3, 2]])
    factors = torch.tensor([[1.2, 0.8, 1.4, 0.05, 0.9]] * 3, dtype=torch.float64) * column(1, 0.95, 1.05)
    ours = jitter(IMAGES[:3].clone(), order, factors)
    changes = ("brightness", "contrast", "saturation", "hue", "gamma")
    for changed, image, sequence, own in zip(ours, IMAGES, order.tolist(), factors, strict=False):
        expected = image[None]
        for number in sequence:
            expected = getattr(colours, f"adjust_{changes[number]}")(expected, own[number : number + 1])
        torch.testing.assert_close(changed, expected[0], rtol=0, atol=1e-14)


# Moves


def test_shifts_and_mirroring_by_hand() -> None:
    image = torch.arange(9.0, dtype=torch.float64).view(1, 1, 3, 3).expand(2, 3, 3, 3)
    none, shift = column(0, 0), torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    moved = move(image, none, none + 1, shift, column(0, 1), padding="edge", margin=0)
    assert moved[0, 0].tolist() == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]  # to the right
    assert moved[1, 0].tolist() == [[5, 4, 3], [8, 7, 6], [8, 7, 6]]  # up, and mirrored
    moved = move(image, none, none + 1, shift, none, padding="reflect", margin=0)
    assert moved[0, 0].tolist() == [[1, 0, 1], [4, 3, 4], [7, 6, 7]]
    wider = move(image, none, none + 1, 0 * shift, none, padding="edge", margin=1)
    assert wider[0, 0, 1].tolist() == [0, 0, 1, 2, 2]


def test_a_quarter_turn_is_clockwise() -> None:
    moved = move(IMAGES[:1], column(90), column(1), torch.zeros(1, 2).double(), column(0), padding="edge", margin=0)
    torch.testing.assert_close(moved, IMAGES[:1].rot90(-1, dims=(2, 3)), rtol=0, atol=1e-12)


def torchvision_move(
    image: torch.Tensor, degrees: float, scale: float, shift: list[float], padding: str
) -> torch.Tensor:
    side = image.shape[-1]
    image = TF.pad(image, [side // 2] * 4, padding_mode=padding)
    image = TF.affine(
        image, angle=degrees, translate=shift, scale=scale, shear=[0.0, 0.0], interpolation=InterpolationMode.BILINEAR
    )
    return image


@pytest.mark.parametrize("padding", ["edge", "reflect"])
@pytest.mark.parametrize("side", [32, 31])
def test_moves_are_torchvisions(padding: str, side: int) -> None:
    images = IMAGES[..., :side, :side]
    degrees, scale = column(15, -15, 7, 0), column(0.9, 0.9, 1.1, 1.03)
    shift = torch.tensor([[4, -4], [-4, 4], [1, 2], [0, -3]], dtype=torch.float64)
    ours = move(images, degrees, scale, shift, column(0, 1, 0, 1), padding=padding, margin=0)
    for i in range(4):
        expected = torchvision_move(images[i], degrees[i].item(), scale[i].item(), shift[i].tolist(), padding)
        expected = TF.center_crop(expected, [side, side])
        expected = expected.flip(2) if i % 2 else expected
        torch.testing.assert_close(ours[i], expected, rtol=0, atol=1e-12)


def test_blur_by_hand() -> None:
    point = torch.zeros(2, 3, 9, 9, dtype=torch.float64)
    point[:, :, 4, 4] = 1
    blurred = blur(point, column(0.5, 0.001))
    weights = torch.tensor([math.exp(-8), math.exp(-2), 1, math.exp(-2), math.exp(-8)], dtype=torch.float64)
    weights /= weights.sum()
    torch.testing.assert_close(blurred[0], torch.outer(weights, weights).expand(3, 5, 5), rtol=0, atol=1e-15)
    torch.testing.assert_close(blurred[1], point[1, :, 2:7, 2:7], rtol=0, atol=0)


# All together


def test_the_changes_follow_each_other() -> None:
    """Torchvision's operations, image by image, from the same draws."""
    changes = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue, TF.adjust_gamma)
    for options in ({}, ROID):
        with_blur = options != ROID
        ours = augment(IMAGES, generators(1, 2, 3, 4), **options)
        for changed, image, own in zip(ours, IMAGES, generators(1, 2, 3, 4), strict=True):
            order, numbers, noise = draw(own, side=32, blur_and_noise=with_blur)
            degrees, scale, x, y, mirrored, sigma = numbers[5:]
            for number in order.tolist():
                image = changes[number](image, numbers[number])
            image = torchvision_move(image, degrees, scale, [x, y], "edge" if with_blur else "reflect")
            if with_blur:
                image = TF.gaussian_blur(image, [5, 5], [sigma, sigma])
            image = TF.center_crop(image, [32, 32])
            image = image.flip(2) if mirrored else image
            expected = (image + 0.005 * noise).clamp(0, 1) if with_blur else image
            torch.testing.assert_close(changed, expected, rtol=0, atol=2e-6)  # torchvision's hue rounds


def test_draws_belong_to_the_image() -> None:
    torch.manual_seed(0)
    together = augment(IMAGES, generators(1, 2, 3, 4))
    torch.manual_seed(1)
    for i in range(4):
        assert torch.equal(augment(IMAGES[i : i + 1], generators(i + 1))[0], together[i])
    assert not torch.equal(augment(IMAGES, generators(2, 3, 4, 5)), together)
    own = generators(1, 2, 3, 4)
    assert not torch.equal(augment(IMAGES, own), augment(IMAGES, own))  # the next draw is another


def test_images_stay_in_range_and_the_given_ones_as_they_are() -> None:
    given = IMAGES * 3 - 1
    before = given.clone()
    for options in ({}, ROID):
        changed = augment(given, generators(1, 2, 3, 4), **options)
        assert changed.shape == IMAGES.shape
        assert changed.dtype == torch.float64
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert torch.equal(given, before)
    assert augment(IMAGES[:0], []).shape == (0, 3, 32, 32)
    with pytest.raises(ValueError, match="one generator for each of 4 images, not 3"):
        augment(IMAGES, generators(1, 2, 3))


def test_a_grey_square_keeps_its_shape_but_for_noise() -> None:
    """Colours can change and noise is added; borders are continued, so nothing moves into the picture."""
    grey = torch.full((64, 3, 32, 32), 0.5, dtype=torch.float64)
    noisy = augment(grey, generators(*range(64)))
    assert noisy.std(dim=(2, 3)).mean().item() == pytest.approx(0.005, rel=0.02)
    assert augment(grey, generators(*range(64)), **ROID).std(dim=(2, 3)).max() < 1e-12
