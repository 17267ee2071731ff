"""The guidance diagnostics by hand."""

from __future__ import annotations

import math

import pytest
import torch

from dusa_ignite.methods.diagnostics import guidance_diagnostics

LOSSES = torch.tensor([[1.0, 3.0, 2.0, 4.0], [2.0, 2.0, 1.0, 5.0]], dtype=torch.float64)


def test_two_images_two_favourites_two_drawn() -> None:
    diagnostics = guidance_diagnostics(LOSSES, num_top=2, total=2)
    # Image 1: favourites 1, 3 against 2, 4: three of four pairs won; gap 3 - 2, standard deviation sqrt(5) / 2.
    # Image 2: favourites 2, 2 against 1, 5: two of four; gap 3 - 2, standard deviation sqrt(2.25).
    assert diagnostics == pytest.approx(
        {
            "loss_top_0": 1.5,
            "loss_top_1": 2.5,
            "loss_rand_0": 1.5,
            "loss_rand_1": 4.5,
            "auc": (0.75 + 0.5) / 2,
            "auc_std": 0.125,
            "gap_norm": (1 / math.sqrt(1.25) + 1 / 1.5) / 2,
        },
        abs=1e-15,
    )


def test_without_drawn_candidates_there_is_nothing_to_compare() -> None:
    assert guidance_diagnostics(LOSSES, num_top=4, total=2) == {
        "loss_top_0": 1.5,
        "loss_top_1": 2.5,
        "loss_top_2": 1.5,
        "loss_top_3": 4.5,
    }


def test_averages_are_over_the_global_batch() -> None:
    half = guidance_diagnostics(LOSSES, num_top=2, total=4)  # this process holds 2 of 4 images
    full = guidance_diagnostics(LOSSES, num_top=2, total=2)
    del half["auc_std"], full["auc_std"]  # a spread does not add up
    assert half == pytest.approx({name: value / 2 for name, value in full.items()}, abs=1e-15)


def test_equal_losses_have_no_gap() -> None:
    diagnostics = guidance_diagnostics(torch.full((3, 6), 2.3137), num_top=4, total=3)
    assert diagnostics["gap_norm"] == 0
    assert diagnostics["auc"] == 0.5


def test_a_share_without_images() -> None:
    assert set(guidance_diagnostics(torch.empty(0, 6), num_top=4, total=1).values()) == {0.0}
