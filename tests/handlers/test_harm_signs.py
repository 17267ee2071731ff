"""When numbers are signs of harm, and when a sign is worth a warning."""

from __future__ import annotations

import pytest

from dusa_ignite.handlers.harm_signals import Signals
from dusa_ignite.handlers.harm_signs import SignOptions, Warnings, signs

WELL = Signals(
    guide_auc=0.7,
    guide_auc_low=0.65,
    top_share=0.14,
    source_top_share=0.14,
    class_ratio=1.0,
    changed=0.2,
    vote=0.8,
    vote_high=0.9,
    skipped=0.0,
)


def test_nothing_is_found_where_all_is_well() -> None:
    assert signs(WELL, SignOptions()) == {}


def test_numbers_that_are_missing_are_no_signs() -> None:
    assert signs(Signals(), SignOptions()) == {}


@pytest.mark.parametrize(
    ("numbers", "name", "said"),
    [
        ({"guide_auc_low": 0.49, "guide_auc": 0.52}, "guide", "AUC 0.52 (chance 0.50)"),
        ({"top_share": 0.30}, "collapse", "one class takes 30% of the predictions, with the source model 14%"),
        ({"class_ratio": 0.69}, "collapse", "69% of its number of classes"),
        ({"vote": 0.4, "vote_high": 0.49}, "vote", "for 40% of them the guide prefers the new one"),
        ({"skipped": 0.51}, "skipped", "51% of the updates"),
    ],
)
def test_each_sign_is_found_and_said(numbers: dict[str, float], name: str, said: str) -> None:
    found = signs(WELL._replace(**numbers), SignOptions())
    assert found.keys() == {name}
    assert said in found[name]


@pytest.mark.parametrize(
    "numbers", [{"guide_auc_low": 0.5}, {"top_share": 0.28}, {"class_ratio": 0.7}, {"vote_high": 0.5}, {"skipped": 0.5}]
)
def test_the_limits_themselves_are_no_signs(numbers: dict[str, float]) -> None:
    assert signs(WELL._replace(**numbers), SignOptions()) == {}


def test_the_vote_does_not_count_where_few_images_have_changed() -> None:
    assert signs(WELL._replace(vote_high=0.1, changed=0.09), SignOptions()) == {}


def test_warnings_begin_when_signs_last_and_end_when_they_are_gone() -> None:
    warnings = Warnings(patience={"guide": 20, "collapse": 0}, window=30)
    seen = [warnings.update(present, 10) for present in (
        ["guide"],  # there for 0 images
        [],
        ["guide"],  # once more from the beginning
        ["guide"],
        ["guide", "collapse"],  # the guide's for 20, collapse needs no patience
        [],  # gone for 10
        ["collapse"],  # back: it has not ended, nothing begins
        [],
        [],  # the guide's is gone for 40, and had ended before
        [],
    )]  # fmt: skip
    assert seen == [
        ([], []),
        ([], []),
        ([], []),
        ([], []),
        (["guide", "collapse"], []),
        ([], []),
        ([], []),
        ([], ["guide"]),
        ([], []),
        ([], ["collapse"]),
    ]


def test_warnings_go_on_from_their_state() -> None:
    first, second = (Warnings(patience={"guide": 20}, window=30) for _ in range(2))
    first.update(["guide"], 10)
    first.update(["guide"], 10)
    second.load_state_dict(first.state_dict())
    assert first.update(["guide"], 10) == second.update(["guide"], 10) == (["guide"], [])
    second.load_state_dict(first.state_dict())
    assert first.update([], 30) == second.update([], 30) == ([], ["guide"])
