"""N processes make the update, and report the numbers, of one."""

from __future__ import annotations

import math
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from support.processes import in_processes
from support.toys import Adaptation, assert_identical, flat, noise_task

from dusa_ignite.distributed.collectives import global_sum, global_sums

WORLD_SIZES = [2, 3]


def adapt() -> Adaptation:
    """Tasks of 6 and 4 images in batches of 5: batches of 5, 1 and 4; with two or three processes some have none."""
    tasks = [noise_task("fog", 6, seed=0, unlabelled=[2]), noise_task("snow", 4, seed=1)]
    return Adaptation(ema_decay=0.5).run(tasks, batch_size=5)


def sum_and_adapt() -> dict[str, Any]:
    """What every process does."""
    rank = idist.get_rank()
    found: dict[str, Any] = {
        "sum": global_sum(rank + 0.5),
        "sums": global_sums(torch.tensor([rank, 1.0, -0.25])),
    }
    run = adapt()
    return found | {"log": run.log, "rows": run.rows(), "state": run.state()}


@pytest.fixture(scope="module", params=WORLD_SIZES)
def processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two or three processes found."""
    return in_processes(sum_and_adapt, tmp_path_factory.mktemp("ranks"), count=request.param)


@pytest.fixture(scope="module")
def single() -> Adaptation:
    """The same run in this process alone."""
    torch.set_num_threads(1)
    return adapt()


# One process


def test_one_process_sums_nothing() -> None:
    assert global_sum(2.5) == 2.5
    values = torch.tensor([1.0, 2.0])
    assert global_sums(values) == [1.0, 2.0]
    assert values.tolist() == [1, 2]


def test_the_single_run(single: Adaptation) -> None:
    assert [(line["task"], len(line["index"])) for line in single.log] == [("fog", 5), ("fog", 1), ("snow", 4)]
    assert [row["images"] for row in single.rows()] == [6, 4]
    assert all(math.isfinite(line["loss"]) for line in single.log)


# Several


@pytest.mark.timeout(120)
def test_sums(processes: list[dict[str, Any]]) -> None:
    expected = {2: (2.0, [1.0, 2.0, -0.5]), 3: (4.5, [3.0, 3.0, -0.75])}[len(processes)]
    for found in processes:
        assert (found["sum"], found["sums"]) == expected


@pytest.mark.timeout(120)
def test_predictions_are_those_of_one_process(processes: list[dict[str, Any]], single: Adaptation) -> None:
    shares = {2: [[3, 1, 2], [2, 0, 2]], 3: [[2, 1, 2], [2, 0, 1], [1, 0, 1]]}[len(processes)]
    assert [[len(line["index"]) for line in found["log"]] for found in processes] == shares
    for number, expected in enumerate(single.log):
        lines = [found["log"][number] for found in processes]
        assert [index for line in lines for index in line["index"]] == expected["index"]
        for key in ("iteration", "task"):
            assert {line[key] for line in lines} == {expected[key]}
        logits = torch.cat([line["logits"] for line in lines])
        torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=1e-12)


@pytest.mark.timeout(120)
def test_weights_and_optimizer_are_those_of_one_process(processes: list[dict[str, Any]], single: Adaptation) -> None:
    source, expected = flat(Adaptation(ema_decay=0.5).state()), flat(single.state())
    for part in ("classifier", "transformer", "norm_ema"):
        assert any(not torch.equal(v, source[k]) for k, v in expected.items() if k.startswith(f"/{part}/")), part
    for found in processes:
        state = flat(found["state"])
        assert state.keys() == expected.keys()
        for path, value in expected.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(state[path], value, rtol=0, atol=1e-12, msg=path)
            else:
                assert state[path] == value, path
        assert_identical(found["state"], processes[0]["state"])  # no process drifts away


@pytest.mark.timeout(120)
def test_metrics_are_global(processes: list[dict[str, Any]], single: Adaptation) -> None:
    assert {"top1", "top5", "ece", "ema_top1", "loss", "images"} == single.log[0]["metrics"].keys()
    for found in processes:
        for line, expected in zip(found["log"], single.log, strict=True):
            assert line["metrics"] == pytest.approx(expected["metrics"], abs=1e-12)
            assert line["loss"] == pytest.approx(expected["loss"], abs=1e-12)
            assert line["diagnostics"] == pytest.approx(expected["diagnostics"], abs=1e-12)
        for row, expected in zip(found["rows"], single.rows(), strict=True):
            assert row["task"] == expected["task"]
            assert {**row, "task": 0} == pytest.approx({**expected, "task": 0}, abs=1e-12)
        assert found["rows"] == processes[0]["rows"]
