"""Seeds that must stay what they are: published numbers depend on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dusa_ignite.utils.seeding import derive_seed, numpy_generator, sample_generators


@pytest.mark.parametrize(
    ("key", "seed"),
    [  # the first eight bytes of SHA-256 over "int:2024", "int:2024\x1fstr:gaussian_noise/5", ..., halved
        ((2024,), 3571474089018942548),
        ((2024, "gaussian_noise/5"), 3078874957438739683),
        ((2024, "gaussian_noise/5", 17), 2612585173516267979),
        (("1",), 3948708698781079030),
        ((1,), 6502935119952841541),
    ],
)
def test_derived_seeds_are_fixed(key: tuple[int | str, ...], seed: int) -> None:
    assert derive_seed(*key) == seed


def test_seeds_fit_63_bits_and_differ() -> None:
    seeds = [derive_seed(seed, "fog/5", index) for seed in range(10) for index in range(100)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_numbers_and_names_are_different_keys() -> None:
    assert len({derive_seed(1), derive_seed("1"), derive_seed(1, ""), derive_seed("", 1), derive_seed()}) == 5
    assert derive_seed("ab", "c") != derive_seed("a", "bc")


def test_numpy_generators_repeat_and_leave_the_global_one_alone() -> None:
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    draws = numpy_generator(2024, "fog/5").random(4)
    assert (numpy_generator(2024, "fog/5").random(4) == draws).all()
    assert (numpy_generator(2024, "fog/4").random(4) != draws).all()
    assert (numpy_generator(2025, "fog/5").random(4) != draws).all()
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_sample_generators_belong_to_their_image() -> None:
    state = torch.get_rng_state()
    several = [torch.randn(3, generator=g) for g in sample_generators(5, "fog/5", torch.tensor([4, 9, 4]))]
    (alone,) = sample_generators(5, "fog/5", torch.tensor([9]))
    assert torch.equal(torch.randn(3, generator=alone), several[1])
    assert torch.equal(several[0], several[2])
    assert not torch.equal(several[0], several[1])
    (other,) = sample_generators(5, "fog/4", torch.tensor([9]))
    assert not torch.equal(torch.randn(3, generator=other), several[1])
    assert alone.device.type == "cpu"
    assert alone.initial_seed() == derive_seed(5, "fog/5", 9)
    assert torch.equal(torch.get_rng_state(), state)


def test_published_draws() -> None:
    (generator,) = sample_generators(2024, "gaussian_noise/5", torch.tensor([17]))
    assert torch.randn(2, generator=generator).tolist() == pytest.approx([-1.3911, -0.0195], abs=1e-4)


def test_no_image_no_generator() -> None:
    assert sample_generators(5, "fog/5", torch.tensor([], dtype=torch.int64)) == []
