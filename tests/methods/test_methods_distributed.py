"""Two processes make the updates, and the predictions, of one; without BatchNorm, but for bn itself."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import pytest
import torch
from support import made_methods as made
from support import method_runs as toys
from support.processes import in_processes

from dusa_ignite.distributed.collectives import gather_batch, position_in_batch

METHODS = {
    "bn": made.make_bn,
    "bn, mixed": made.make_mixed_bn,
    "tent": made.make_tent,
    "shot": made.make_shot,
    "eata": made.make_eata,
    "eta": made.make_eta,
    "sar": made.make_sar,
    "sar, recovering": made.make_recovering_sar,
    "deyo": made.make_deyo,
    "cotta": made.make_averaging_cotta,
    "rotta": made.make_rotta,
    "rotta with BatchNorm": made.make_rotta_with_batch_norm,
    "roid": made.make_roid,
    "lame": made.make_lame,
    "lame with a hidden layer": made.make_mobile_lame,
    "diffusion_tta": made.make_diffusion_tta,
    "dusa, diverse": made.make_diverse_dusa,
    "dusa, sampled": made.make_dusa_sampled,
    "dusa, sampled for a share": made.make_dusa_sharing,
    "dusa_u": made.make_dusa_u,
}
NONE = [("snow", 7, 0)]


def adapt() -> dict[str, Any]:
    """Every method on batches of 5, 3, 5, 1 and 0 images."""
    return {name: toys.log_and_state(make().meet(toys.CONTINUAL + NONE)) for name, make in METHODS.items()}


def gather() -> list[Any]:
    """Shares of 3 and 1 images, of 0 and 2, of none."""
    rank, found = idist.get_rank(), []
    for shares in ((3, 1), (0, 2), (0, 0)):
        count = shares[rank]
        bytes_ = torch.arange(count * 2, dtype=torch.uint8).view(count, 2) + 10 * rank
        found.append((gather_batch(bytes_), position_in_batch(count)))
    return [[values.tolist(), [where.start, where.stop]] for values, where in found]


def gather_and_adapt() -> dict[str, Any]:
    """What every process does."""
    return {"gathered": gather(), **adapt()}


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    return in_processes(gather_and_adapt, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def single() -> dict[str, Any]:
    """The same in this process alone."""
    torch.set_num_threads(1)
    return adapt()


def test_one_process_has_the_whole_batch() -> None:
    values = torch.arange(3)
    assert torch.equal(gather_batch(values), values)
    assert position_in_batch(3) == slice(0, 3)


@pytest.mark.timeout(150)
def test_shares_are_gathered_in_order(processes: list[dict[str, Any]]) -> None:
    first, second = (found["gathered"] for found in processes)
    assert first[0] == [[[0, 1], [2, 3], [4, 5], [10, 11]], [0, 3]]
    assert second[0] == [first[0][0], [3, 4]]
    assert first[1] == [[[10, 11], [12, 13]], [0, 0]]
    assert second[1] == [first[1][0], [0, 2]]
    assert first[2] == second[2] == [[], [0, 0]]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("name", METHODS)
def test_updates_are_those_of_one_process(name: str, processes: list[dict[str, Any]], single: dict[str, Any]) -> None:
    toys.check_processes([found[name] for found in processes], single[name])
