"""Two processes make the updates, and the predictions, of one; without BatchNorm, but for bn itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import method_toys as toys
import pytest
import torch
from test_bn import make as make_bn
from test_bn import make_mixed as make_mixed_bn
from test_deyo import make as make_deyo
from test_eata import make as make_eata
from test_eata import make_eta
from test_sar import make as make_sar
from test_sar import make_recovering as make_recovering_sar
from test_tent import make as make_tent
from toys import assert_identical

METHODS = {
    "bn": make_bn,
    "bn, mixed": make_mixed_bn,
    "tent": make_tent,
    "eata": make_eata,
    "eta": make_eta,
    "sar": make_sar,
    "sar, recovering": make_recovering_sar,
    "deyo": make_deyo,
}
NONE = [("snow", 7, 0)]


def adapt() -> dict[str, Any]:
    """Every method on batches of 5, 3, 5, 1 and 0 images."""
    runs = {name: make().meet(toys.CONTINUAL + NONE) for name, make in METHODS.items()}
    return {name: {"log": run.log, "state": run.state()} for name, run in runs.items()}


def worker(local_rank: int, folder: Path) -> None:
    """What every process does; writes its results to a file of its own."""
    torch.set_num_threads(1)
    torch.save(adapt(), folder / f"{idist.get_rank()}.pt")


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
