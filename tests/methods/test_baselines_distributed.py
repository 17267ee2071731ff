"""Two processes make the updates, and the predictions, of one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import method_toys as toys
import pytest
import torch
from test_cotta import make_averaging
from test_diffusion_tta import make as make_diffusion_tta
from test_dusa_u import make as make_dusa_u
from test_lame import make as make_lame
from test_lame import make_mobile
from test_roid import make as make_roid
from test_rotta import make as make_rotta
from test_rotta import make_with_batch_norm
from toys import assert_identical

from dusa_ignite.distributed import gather_batch, position_in_batch

METHODS = {
    "cotta": make_averaging,
    "rotta": make_rotta,
    "rotta with BatchNorm": make_with_batch_norm,
    "roid": make_roid,
    "lame": make_lame,
    "lame with a hidden layer": make_mobile,
    "diffusion_tta": make_diffusion_tta,
    "dusa_u": make_dusa_u,
}
NONE = [("snow", 7, 0)]


def adapt() -> dict[str, Any]:
    """Every method on batches of 5, 3, 5, 1 and 0 images."""
    runs = {name: make().meet(toys.CONTINUAL + NONE) for name, make in METHODS.items()}
    return {name: {"log": run.log, "state": run.state()} for name, run in runs.items()}


def gather() -> list[Any]:
    """Shares of 3 and 1 images, of 0 and 2, of none."""
    rank, found = idist.get_rank(), []
    for shares in ((3, 1), (0, 2), (0, 0)):
        count = shares[rank]
        bytes_ = torch.arange(count * 2, dtype=torch.uint8).view(count, 2) + 10 * rank
        found.append((gather_batch(bytes_), position_in_batch(count)))
    return [[values.tolist(), [where.start, where.stop]] for values, where in found]


def worker(local_rank: int, folder: Path) -> None:
    """What every process does; writes its results to a file of its own."""
    torch.set_num_threads(1)
    torch.save({"gathered": gather(), **adapt()}, folder / f"{idist.get_rank()}.pt")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn: dict[str, Any] = {
        "nproc_per_node": 2,
        "init_method": f"file://{folder / 'rendezvous'}",
        "timeout": timedelta(seconds=60),
    }
    with idist.Parallel(backend="gloo", **spawn) as parallel:
        parallel.run(worker, folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def single() -> dict[str, Any]:
    """The same in this process alone."""
    torch.set_num_threads(1)
    return adapt()


def test_one_process_has_the_whole_batch() -> None:
    values = torch.arange(3)
    assert torch.equal(gather_batch(values), values)
    assert position_in_batch(3) == slice(0, 3)


@pytest.mark.timeout(120)
def test_shares_are_gathered_in_order(processes: list[dict[str, Any]]) -> None:
    first, second = (found["gathered"] for found in processes)
    assert first[0] == [[[0, 1], [2, 3], [4, 5], [10, 11]], [0, 3]]
    assert second[0] == [first[0][0], [3, 4]]
    assert first[1] == [[[10, 11], [12, 13]], [0, 0]]
    assert second[1] == [first[1][0], [0, 2]]
    assert first[2] == second[2] == [[], [0, 0]]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", METHODS)
def test_updates_are_those_of_one_process(name: str, processes: list[dict[str, Any]], single: dict[str, Any]) -> None:
    ours, expected = [found[name] for found in processes], single[name]
    toys.assert_close(ours[0]["state"], expected["state"])
    assert_identical(ours[1]["state"], ours[0]["state"])  # no process drifts away
    for number, output in enumerate(expected["log"]):
        shares = [found["log"][number] for found in ours]
        for key in ("y_pred", "y"):
            toys.assert_close(torch.cat([share[key] for share in shares]), output[key])
        for share in shares:
            toys.assert_close(
                {key: share[key] for key in ("loss", "diagnostics")},
                {key: output[key] for key in ("loss", "diagnostics")},
            )
