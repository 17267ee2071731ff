"""A transformer spread over two processes: they keep pace whatever their shares, and make the updates of one."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import pytest
import torch
from support import method_runs as toys
from support.processes import in_processes
from support.synced_batch_norm import synchronise
from support.toys import SEED, toy_classifier, toy_guide

from dusa_ignite.distributed.sharding import ShardedModel, shard
from dusa_ignite.methods import Method
from dusa_ignite.methods.diffusion_tta import DiffusionTta
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.dusa_u import DusaU
from dusa_ignite.models.guides.times import uniform

pytestmark = pytest.mark.slow

METHODS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "dusa": (Dusa, {"num_top": 2, "num_random": 1}),
    "dusa, diverse": (Dusa, {"num_top": 2, "num_random": 1, "diversity": 0.5}),
    "dusa, sampled": (Dusa, {"num_top": 2, "num_random": 1, "transformer_backward": "sampled"}),
    "dusa, sampled for a share": (
        Dusa,  # 1 of 5, of 4 and of 1 images
        {"num_top": 2, "num_random": 1, "transformer_backward": "sampled", "guide_gradient_share": 0.2},
    ),
    "dusa, BatchNorm": (Dusa, {"num_top": 2, "num_random": 1}),  # one process waits for the other in both models
    "dusa_u": (DusaU, {"num_top": 2, "num_random": 1}),
    "diffusion_tta": (DiffusionTta, {"num_samples": 2}),
}
BATCHES = [("fog", 0, 5), ("fog", 5, 4), ("snow", 0, 1)]  # micro-batches: 3 and 2, 2 and 2, 1 and none


def adapt() -> dict[str, Any]:
    """Every method on batches of 5, 4 and 1 images, one at a time."""
    found = {}
    for name, (kind, options) in METHODS.items():
        classifier = toy_classifier(**({"name": "test_resnet"} if "BatchNorm" in name else {})).double()
        synchronise(classifier)
        guide = toy_guide().double()
        if idist.get_world_size() > 1:
            shard(guide.transformer, world_size=idist.get_world_size(), device=torch.device("cpu"))
        learning = [[p for p in model.parameters() if p.requires_grad] for model in (classifier, guide.transformer)]
        method = kind(
            kind.Options(**options),
            classifier=classifier,
            guide=guide,
            optimizer=torch.optim.SGD([{"params": group} for group in learning], lr=0.01, momentum=0.9),
            seed=SEED,
            time=uniform(t_min=0.2, t_max=0.8),
            micro_batch_size=1,
        )
        outputs = [method(None, toys.make_batch(*batch)) for batch in (BATCHES[:2] if "BatchNorm" in name else BATCHES)]
        models = {"classifier": classifier, "transformer": ShardedModel(guide.transformer)}
        found[name] = {"log": outputs, "state": {key: model.state_dict() for key, model in models.items()}}
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


@pytest.mark.timeout(150)
@pytest.mark.parametrize("name", METHODS)
def test_updates_are_those_of_one_process(name: str, processes: list[dict[str, Any]], single: dict[str, Any]) -> None:
    first, second = (found[name] for found in processes)
    expected = single[name]
    toys.assert_close(first["state"], expected["state"])  # gathered in the first process
    toys.assert_close(second["state"]["classifier"], expected["state"]["classifier"])
    for ours, other, output in zip(first["log"], second["log"], expected["log"], strict=True):
        toys.assert_close(torch.cat([ours["y_pred"], other["y_pred"]]), output["y_pred"])
        for share in (ours, other):
            assert share["loss"] == pytest.approx(output["loss"], abs=1e-10)
            assert share["diagnostics"] == pytest.approx(output["diagnostics"], abs=1e-10)
