"""The augmentations: each image's own draws, in [0, 1]."""

from __future__ import annotations

import pytest
import torch

from dusa_ignite.methods.augmentations import augment


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


IMAGES = torch.rand(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_draws_belong_to_the_image() -> None:
    torch.manual_seed(0)
    together = augment(IMAGES, generators(1, 2, 3, 4))
    torch.manual_seed(1)
    for i in range(4):
        assert torch.equal(augment(IMAGES[i : i + 1], generators(i + 1))[0], together[i])
    assert not torch.equal(augment(IMAGES, generators(2, 3, 4, 5)), together)
    own = generators(1, 2, 3, 4)
    assert not torch.equal(augment(IMAGES, own), augment(IMAGES, own))  # the next draw is another


def test_images_stay_in_range_and_are_changed() -> None:
    for options in ({}, {"padding": "reflect", "blur_and_noise": False}):
        changed = augment(IMAGES * 3 - 1, generators(1, 2, 3, 4), **options)  # type: ignore[arg-type]
        assert changed.shape == IMAGES.shape
        assert changed.dtype == torch.float64
        assert changed.min() >= 0
        assert changed.max() <= 1
    assert augment(IMAGES[:0], []).shape == (0, 3, 32, 32)


def test_a_grey_square_keeps_its_shape_but_for_noise() -> None:
    """Colours can change and noise is added; borders are continued, so nothing moves into the picture."""
    grey = torch.full((64, 3, 32, 32), 0.5, dtype=torch.float64)
    noisy = augment(grey, generators(*range(64)))
    assert noisy.std(dim=(2, 3)).mean().item() == pytest.approx(0.005, rel=0.02)
    means = noisy.mean(dim=(1, 2, 3))
    assert (means.min().item(), means.max().item()) == pytest.approx((0.5 * 0.6, 0.5 * 1.4), abs=0.12)
    assert augment(grey, generators(*range(64)), blur_and_noise=False).std(dim=(2, 3)).max() < 1e-12


def test_half_of_the_images_are_mirrored_and_shifts_are_bounded() -> None:
    column = torch.zeros(200, 3, 32, 32, dtype=torch.float64)
    column[..., 4:8] = 1  # left of the middle, and still there after any shift, turn and zoom
    changed = augment(column, generators(*range(200))).mean(dim=(1, 2))
    left, right = changed[:, :16].sum(dim=1), changed[:, 16:].sum(dim=1)
    assert (left > right).double().mean().item() == pytest.approx(0.5, abs=0.1)
