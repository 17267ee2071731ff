"""The contract of all methods: right methods keep it, wrong ones are told which check they fail, and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.files import ROOT
from support.wrong_methods import Careless, Forgetful, Lonely, Nearsighted, Restless, Resuming, Still

from dusa_ignite.methods import Method
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.lame import Lame
from dusa_ignite.methods.losses import Loss
from dusa_ignite.methods.tent import Tent
from dusa_ignite.testing import Run, check_method, contract
from dusa_ignite.testing.compare import assert_close, assert_identical
from dusa_ignite.utils.own_parts import load_part

pytestmark = pytest.mark.slow

REASONS: dict[type[Method], str] = {
    Nearsighted: r"'micro-batches': not equal to 1e-10: /log/1/y_pred, /log/1/loss",
    Forgetful: r"'reset': not bit for bit equal: /log/0/loss.*\n\(After a reset, a task is as it would have been alone",
    Resuming: r"'resume': not bit for bit equal: /log/0/loss",
    Restless: r"'empty batch': not bit for bit equal: /classifier/",
    Careless: r"'non-finite gradient': skipped_update must be 1",
    Lonely: r"'processes': not equal to 1e-10: /state/classifier/",
    Still: r"'reset': the classifier has learnt nothing from two batches; give options with which it learns",
}


@pytest.mark.timeout(150)
def test_tent_keeps_the_contract() -> None:
    check_method(Tent)


@pytest.mark.timeout(150)
def test_dusa_keeps_the_contract_with_options_in_sections() -> None:
    check_method(Dusa, Dusa.Options(num_top=2, num_random=1, loss=Loss(distance="norm_l2")))


@pytest.mark.timeout(150)
def test_a_method_that_trains_nothing_and_comes_from_a_users_file(tmp_path: Path) -> None:
    source = Path(shutil.copy(ROOT / "dusa_ignite" / "methods" / "lame.py", tmp_path / "own_lame.py"))
    method = load_part(f"{source}:Lame", key="method.name")
    assert method is not Lame
    check_method(method, num_neighbours=2)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("method", REASONS, ids=lambda method: method.__name__)
def test_a_wrong_method_is_told_why(method: type[Method]) -> None:
    with pytest.raises(AssertionError, match=f"^{method.__name__} fails the check {REASONS[method]}"):
        check_method(method)


def test_every_check_has_a_method_that_fails_it() -> None:
    failed = {reason.split("'")[1] for reason in REASONS.values()}
    assert failed == set(contract.CHECKS)


def test_a_class_that_other_processes_cannot_find() -> None:
    class Hidden(Tent):
        pass

    with pytest.raises(AssertionError, match="the class must stand at the top level of a file"):
        contract.check_two_processes(lambda: Run(Hidden))


def test_comparisons_say_where() -> None:
    ours, other = {"a": [1.0, torch.tensor([1.0, torch.nan])]}, {"a": [1.0, torch.tensor([1.0 + 1e-6, torch.nan])]}
    assert_close(ours, other, tolerance=1e-5)
    assert_identical(ours, ours)
    with pytest.raises(AssertionError, match=r"^not equal to 1e-10: /a/1$"):
        assert_close(ours, other)
    with pytest.raises(AssertionError, match=r"^not bit for bit equal: /a/1$"):
        assert_identical(ours, other)
    with pytest.raises(AssertionError, match=r"^only on one side: /b$"):
        assert_identical(ours, {**ours, "b": 1})
    with pytest.raises(AssertionError, match=r"^not equal to 1e-10: /a$"):
        assert_close({"a": torch.zeros(2)}, {"a": torch.zeros(1)})
