"""The digits' corruptions: small cases worked out by hand, and what holds for all of them."""

import math

import pytest
import torch

from dusa_ignite.data import corruptions
from dusa_ignite.data.corruptions import CORRUPTIONS, corrupt
from dusa_ignite.data.digits import task_half

SEVERITIES = (1, 2, 3, 4, 5)
GREY = torch.full((3, 32, 32), 0.5)
WHITE = torch.ones(3, 32, 32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_names_in_order() -> None:
    assert list(CORRUPTIONS) == [
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "gaussian_blur",
        "motion_blur",
        "fog",
        "contrast",
        "pixelate",
    ]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_shape_range_and_determinism(corruption: str) -> None:
    image = torch.rand(3, 32, 32, generator=generator())
    kept = image.clone()
    for severity in SEVERITIES:
        first = corrupt(image, corruption=corruption, severity=severity, generator=generator(7))
        again = corrupt(image, corruption=corruption, severity=severity, generator=generator(7))
        assert first.shape == (3, 32, 32)
        assert first.min() >= 0
        assert first.max() <= 1
        assert torch.equal(first, again)
    assert torch.equal(image, kept)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_severity_raises_the_distance_to_the_clean_digits(corruption: str) -> None:
    images = task_half()[0][::60] / 255

    def distance(severity: int) -> float:
        corrupted = [corrupt(x, corruption=corruption, severity=severity, generator=generator(3)) for x in images]
        return (torch.stack(corrupted) - images).square().mean().item()

    distances = [distance(severity) for severity in SEVERITIES]
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_gaussian_noise_has_the_tables_deviation() -> None:
    noisy = corrupt(torch.full((3, 200, 200), 0.5), corruption="gaussian_noise", severity=1, generator=generator())
    # P(|noise| > 0.5) at std 0.3 is 9.56 %: those values are clipped to 0 or 1
    assert ((noisy == 0) | (noisy == 1)).float().mean().item() == pytest.approx(0.0956, abs=0.003)
    assert noisy.mean().item() == pytest.approx(0.5, abs=0.005)


def test_shot_noise_counts_photons() -> None:
    assert torch.equal(corruptions.shot_noise(torch.zeros(3, 8, 8), 1.1, generator()), torch.zeros(3, 8, 8))
    noisy = corruptions.shot_noise(torch.full((3, 200, 200), 0.5), 6.0, generator())  # 6 photons at white: mean 3
    values = noisy.mul(6).round() / 6
    assert noisy == pytest.approx(values)  # whole counts
    assert (noisy == 0).float().mean().item() == pytest.approx(math.exp(-3), abs=0.003)


def test_impulse_noise_hits_its_share() -> None:
    noisy = corruptions.impulse_noise(torch.full((3, 200, 200), 0.5), 0.45, generator())
    assert (noisy == 0).float().mean().item() == pytest.approx(0.225, abs=0.005)
    assert (noisy == 1).float().mean().item() == pytest.approx(0.225, abs=0.005)
    assert (noisy == 0.5).float().mean().item() == pytest.approx(0.55, abs=0.005)


@pytest.mark.parametrize("corruption", ["gaussian_blur", "motion_blur", "contrast", "pixelate"])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_constant_image_stays_constant(corruption: str, severity: int) -> None:
    result = corrupt(GREY, corruption=corruption, severity=severity, generator=generator())
    torch.testing.assert_close(result, GREY, rtol=0, atol=1e-6)


def test_gaussian_blur_spreads_a_point_to_a_normal_density() -> None:
    point = torch.zeros(1, 33, 33)
    point[0, 16, 16] = 1
    blurred = corruptions.gaussian_blur(point, 2.5, generator())
    assert blurred[0, 16, 16].item() == pytest.approx(1 / (2 * math.pi * 2.5**2), rel=0.01)
    assert (blurred[0, 16, 21] / blurred[0, 16, 16]).item() == pytest.approx(math.exp(-2), rel=1e-4)  # 2 deviations off
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)


def test_motion_blur_spreads_a_point_along_a_line_through_it() -> None:
    point = torch.zeros(1, 33, 33)
    point[0, 16, 16] = 1
    blurred = corruptions.motion_blur(point, 9, generator(1))[0]
    y, x = torch.meshgrid(torch.arange(33.0) - 16, torch.arange(33.0) - 16, indexing="ij")
    spread = torch.tensor([[(blurred * a * b).sum() for a in (x, y)] for b in (x, y)])
    across, along = torch.linalg.eigvalsh(spread)
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    assert along.item() == pytest.approx(9**2 / 12, rel=0.1)  # variance of a uniform density nine pixels long
    assert across.item() == pytest.approx(0.5**2, rel=0.2)


def test_fog_whitens_and_keeps_the_images_differences_scaled() -> None:
    foggy_white = corruptions.fog(WHITE, (0.6, 2.0), generator(2))
    foggy_black = corruptions.fog(torch.zeros_like(WHITE), (0.6, 2.0), generator(2))
    torch.testing.assert_close(foggy_white - foggy_black, WHITE / 1.6)  # (x + 0.6 f) / 1.6
    assert foggy_black.min().item() == 0  # the clouds fill [0, 1]
    assert foggy_black.max().item() == pytest.approx(0.6 / 1.6)
    assert torch.equal(foggy_black[0], foggy_black[1])  # white clouds: alike in all channels


def test_contrast_keeps_the_mean_and_a_share_of_the_differences() -> None:
    image = torch.zeros(3, 32, 32)
    image[:, :16] = 1
    flat = corruptions.contrast(image, 0.25, generator())  # 25 % left around 0.5
    torch.testing.assert_close(flat[:, :16], torch.full((3, 16, 32), 0.625))
    torch.testing.assert_close(flat[:, 16:], torch.full((3, 16, 32), 0.375))


def test_pixelate_averages_blocks() -> None:
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    fine = ((x + y) % 2).float().expand(3, -1, -1)
    coarse = ((x // 2 + y // 2) % 2).float().expand(3, -1, -1)
    torch.testing.assert_close(corruptions.pixelate(fine, 0.5, generator()), GREY)  # blocks of 2 x 2: two of each
    torch.testing.assert_close(corruptions.pixelate(coarse, 0.5, generator()), coarse)  # squares that are the blocks
    assert corruptions.pixelate(torch.rand(1, 32, 32), 0.125, generator()).unique().numel() == 16  # 4 x 4 left
