"""Two processes whose BatchNorm layers are synchronised make the updates, and the predictions, of one."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import pytest
import torch
from support import method_runs as toys
from support.processes import in_processes
from support.synced_batch_norm import synchronise

from dusa_ignite.engine import Batch
from dusa_ignite.methods import Method
from dusa_ignite.methods.cotta import Cotta
from dusa_ignite.methods.deyo import Deyo
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.eata import Eata
from dusa_ignite.methods.roid import Roid
from dusa_ignite.methods.sar import Sar
from dusa_ignite.methods.shot import Shot
from dusa_ignite.methods.tent import Tent
from dusa_ignite.testing import sharp_classifier

METHODS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "tent": (Tent, {}),
    "shot": (Shot, {}),
    "eata": (Eata, {"entropy_margin": 0.2, "redundancy_margin": 0.95, "beta": 0.0}),
    "sar": (Sar, {"entropy_margin": 0.2, "recovery_threshold": 0.0}),
    "deyo": (Deyo, {"entropy_threshold": 0.6, "plpd_threshold": 0.1, "destruction": "pixel"}),
    "cotta": (Cotta, {"confidence_threshold": 1.0, "num_augmentations": 1}),
    "roid": (Roid, {}),
    "roid, certain": (Roid, {"consistency": False}),
    "dusa": (Dusa, {"num_top": 2, "num_random": 1}),
    "dusa, diverse": (Dusa, {"num_top": 2, "num_random": 1, "diversity": 0.5}),
}
BATCHES = [
    ("fog", 0, 5),
    ("fog", 5, 2),
    ("snow", 0, 2),
    ("snow", 2, 2),  # of one image each, some of which do not learn
]


def make(name: str) -> toys.Run:
    method, options = METHODS[name]
    classifier = sharp_classifier("test_resnet")
    synchronise(classifier)
    return toys.Run(method, **{"classifier": classifier, "lr": 0.002, **options})


def of_the_first_process(task: str, first: int, count: int) -> Batch:
    """A batch whose images are all in the share of the first process."""
    batch = toys.make_batch(task, first, count * idist.get_world_size())
    own = slice(None) if idist.get_rank() == 0 else slice(0)
    return {**batch, **{key: batch[key][own] for key in ("images", "labels", "index")}}  # type: ignore


def adapt() -> dict[str, Any]:
    """Every method on batches of 5, 2, 2 and 2 images, and of 2 of which one process has none."""
    found = {}
    for name in METHODS:
        run = make(name).meet(BATCHES)
        run.log.append(run.method(run.engine, of_the_first_process("snow", 4, 2)))
        found[name] = toys.log_and_state(run)
    return found


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    return in_processes(adapt, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def single() -> dict[str, Any]:
    """The same in this process alone."""
    torch.set_num_threads(1)
    return adapt()


def test_some_processes_have_no_image_to_learn_from(single: dict[str, Any]) -> None:
    for name in ("eata", "sar", "deyo", "roid"):
        shares = [output["diagnostics"]["reliable"] for output in single[name]["log"]]
        assert 0.5 in shares[1:], name  # one of two


@pytest.mark.timeout(150)
@pytest.mark.parametrize("name", METHODS)
def test_updates_are_those_of_one_process(name: str, processes: list[dict[str, Any]], single: dict[str, Any]) -> None:
    toys.check_processes([found[name] for found in processes], single[name], tolerance=1e-9)
