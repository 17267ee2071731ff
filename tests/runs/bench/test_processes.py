"""Several processes measure one update: the slowest counts, and the heading says what their sums take."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import ignite.distributed as idist
import pytest
import torch
from support.files import CONFIGS
from support.made_methods import make_diverse_dusa, make_tent
from support.processes import in_processes

from dusa_ignite.config import Config
from dusa_ignite.errors import ConfigError, OutOfMemory
from dusa_ignite.runs.bench import measure as measuring
from dusa_ignite.runs.bench.models import random_batch
from dusa_ignite.runs.bench.processes import measure_sums, told
from dusa_ignite.runs.bench.row import Row
from dusa_ignite.runs.bench.sizes import load_sized
from dusa_ignite.runs.bench.textbook import Textbook
from dusa_ignite.runs.bench.timing import repeated
from dusa_ignite.runs.bench.variants import Variant


def measure() -> dict[str, object]:
    """Process 1 is the slow one."""
    spread = repeated(lambda: time.sleep(0.02 + 0.05 * idist.get_rank()), limit=0.25, least=2)
    method = make_tent().method
    sums = measure_sums(method, limit=0)
    left_over = sum(parameter.grad is not None for parameter in method.parameters)
    return {"times": spread.times, "sums": sums, "left over": left_over, "images": random_batch(5, pixels=2)}


@pytest.mark.timeout(60)
def test_the_slowest_process_counts_and_all_repeat_equally_often(tmp_path: Path) -> None:
    first, second = in_processes(measure, tmp_path)
    assert first["times"] == second["times"]
    assert len(first["times"]) in (2, 3, 4)
    assert min(first["times"]) >= 0.07
    assert first["sums"] == second["sums"] > 0
    assert first["left over"] == second["left over"] == 0
    whole = random_batch(5, pixels=2)
    for key, lengths in (("images", [3, 2]), ("index", [3, 2]), ("labels", [3, 2])):
        shares = [found["images"][key] for found in (first, second)]
        assert [len(share) for share in shares] == lengths
        assert torch.equal(torch.cat(shares), whole[key])  # type: ignore[literal-required]


def fail(everywhere: bool) -> str | None:
    """What becomes of a variant whose models cannot be built: its row's error, or one that ends the process."""

    def build(*_: object, **__: object) -> None:
        raise ConfigError("wrong") if everywhere else OutOfMemory("no room here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "build", build)
        try:
            row, _ = measuring.measure_variant(Variant("shipped"), tiny, measuring.Plan(0, 1, 32, "tiny"))
        except OutOfMemory as error:
            return f"raised: {error}"
    return row.error


def tiny(variant: Variant) -> Config:
    return load_sized(CONFIGS / "digits.yaml", [], size="tiny")[0]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("everywhere", "said"), [(True, "wrong"), (False, "raised: no room here")])
def test_a_process_that_may_have_failed_alone_does_not_go_on(everywhere: bool, said: str, tmp_path: Path) -> None:
    assert in_processes(partial(fail, everywhere), tmp_path) == [said, said]


def test_the_heading_of_several_processes() -> None:
    row = Row("shipped", seconds=(0.5, 0.4, 0.6))
    assert told(1, None, [row]) == ""
    assert told(4, None, [row]) == ", 4 processes"
    assert told(4, 0.0125, []) == ", 4 processes (the sums of their gradients, alone: 12.5 ms)"
    said = ", 4 processes (the sums of their gradients, alone: 12.5 ms, 2.5% of shipped's update)"
    assert told(4, 0.0125, [Row("sampled", seconds=(0.1, 0.1, 0.1)), row]) == said


def test_the_textbook_has_a_single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make_diverse_dusa().method
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match=r"^textbook is the update of a single process$"):
        Textbook(method)
