"""What images draw: from their own generators, in a fixed order, for a whole batch at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.toys import toy_guide

from dusa_ignite.methods.draws import Draws, draw_batch
from dusa_ignite.methods.guided import noised
from dusa_ignite.models.guides.times import fixed, uniform

SHAPE = (3, 4, 4)


def make(*seeds: int, **options: Any) -> Draws:
    defaults: dict[str, Any] = {
        "time": uniform(t_min=0.2, t_max=0.8),
        "shape": SHAPE,
        "num_samples": 2,
        "num_gumbel": 5,
        "device": torch.device("cpu"),
    }
    return draw_batch([torch.Generator().manual_seed(seed) for seed in seeds], **{**defaults, **options})


def test_time_and_noise_sample_by_sample_then_gumbel() -> None:
    draws = make(5, 6)
    for image, seed in enumerate((5, 6)):
        own = torch.Generator().manual_seed(seed)
        for sample in range(2):
            t = 0.2 + 0.6 * torch.rand((), generator=own).item()
            assert draws.times[image, sample].item() == pytest.approx(t, abs=1e-15)
            assert torch.equal(draws.noise[image, sample], torch.randn(SHAPE, generator=own))
        gumbel = -torch.empty(5, dtype=torch.float64).exponential_(generator=own).log()
        assert torch.equal(draws.gumbel[image], gumbel)
    assert (draws.times.dtype, draws.noise.dtype, draws.gumbel.dtype) == (torch.float64, torch.float32, torch.float64)


def test_uniform_numbers_come_last() -> None:
    before, draws = make(5, 6), make(5, 6, num_uniform=2)
    for name in ("times", "noise", "gumbel"):
        assert torch.equal(getattr(draws, name), getattr(before, name))
    assert (before.uniform.shape, draws.uniform.shape, draws.uniform.dtype) == ((2, 0), (2, 2), torch.float64)
    assert draws.guide_weight.tolist() == [1, 1]
    for image, seed in enumerate((5, 6)):
        own = torch.Generator().manual_seed(seed)
        for _ in range(2):
            torch.rand((), generator=own)
            torch.randn(SHAPE, generator=own)
        torch.empty(5, dtype=torch.float64).exponential_(generator=own)
        assert torch.equal(draws.uniform[image], torch.rand(2, dtype=torch.float64, generator=own))


def test_draws_belong_to_their_image() -> None:
    torch.manual_seed(0)
    together = make(5, 6, 7, num_uniform=1)
    torch.manual_seed(1)
    for image, seed in enumerate((5, 6, 7)):
        alone, part = make(seed, num_uniform=1), together[image : image + 1]
        assert all(torch.equal(*pair) for pair in zip(vars(alone).values(), vars(part).values(), strict=True))


def test_shapes() -> None:
    none = make(num_samples=1, num_gumbel=0)
    assert (none.times.shape, none.noise.shape, none.gumbel.shape) == ((0, 1), (0, 1, *SHAPE), (0, 0))
    assert make(1, time=fixed(t=0.25)).times.tolist() == [[0.25, 0.25]]


def test_images_are_encoded_once_for_all_their_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    guide, images = toy_guide().double(), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    encode, seen = guide.encode, []
    monkeypatch.setattr(guide, "encode", lambda given: (seen.append(len(given)), encode(given))[1])
    draws = make(1, 2, shape=guide.latent_shape, num_samples=3)
    x_t, target, time = noised(guide, images, draws)
    assert seen == [2]
    for sample in range(3):
        for image in range(2):
            t, z, row = draws.times[image, sample], draws.noise[image, sample].double(), 2 * sample + image
            x0 = images[image] * 2 - 1
            torch.testing.assert_close(x_t[row], (1 - t) * x0 + t * z, rtol=0, atol=1e-15)
            torch.testing.assert_close(target[row], z - x0, rtol=0, atol=1e-15)
            assert time[row] == t
