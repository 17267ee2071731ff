"""Gradients are added up over processes, bucket by bucket, while the backward pass goes on."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from unittest import mock

import ignite.distributed as idist
import pytest
import torch
from support import made_methods as made
from support.processes import in_processes
from support.toys import assert_identical
from torch import distributed as dist
from torch import nn

from dusa_ignite.distributed import gradients
from dusa_ignite.distributed.gradients import GradientSums, all_reduce_gradients
from dusa_ignite.testing.runs import log_and_state

METHODS = {
    "dusa, diverse": made.make_diverse_dusa,
    "dusa, sampled for a share": made.make_dusa_sharing,
    "diffusion_tta": made.make_diffusion_tta,
}
BATCHES = [("fog", 0, 5), ("fog", 5, 3), ("snow", 5, 1), ("snow", 6, 0)]  # of two processes one has no image at the end


def reduce_gradients() -> list[list[float] | None]:
    """Gradients: everywhere; in process 0 alone; nowhere; in process 1 alone, in another dtype."""
    rank = idist.get_rank()
    parameters = [nn.Parameter(torch.zeros(2, 1)), *(nn.Parameter(torch.zeros(2)) for _ in range(2))]
    parameters.append(nn.Parameter(torch.zeros(3, dtype=torch.float64)))
    parameters[0].grad = torch.tensor([[1.0], [10.0]]) * (rank + 1)
    if rank == 0:
        parameters[1].grad = torch.tensor([3.0, 4.0])
    if rank == 1:
        parameters[3].grad = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    all_reduce_gradients(parameters)
    assert parameters[0].grad.shape == (2, 1)
    return [None if parameter.grad is None else parameter.grad.flatten().tolist() for parameter in parameters]


class Told:
    """What happens, in order: the sizes of the sums that begin on their way, and words of what goes on meanwhile."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.all_reduce = dist.all_reduce

    def __call__(self, tensor: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        if options.get("async_op"):
            self.events.append(tensor.numel())
        return self.all_reduce(tensor, *arguments, **options)

    def __enter__(self) -> Told:
        self.patch = mock.patch.object(dist, "all_reduce", self)
        self.patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.patch.stop()


class Chain(nn.Module):
    """The input times four vectors, one after the other; the third has no part in it for a process that skips it."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.ParameterList(nn.Parameter(torch.full((size,), 2.0)) for size in (4, 1, 2, 1))
        self.unused = nn.Parameter(torch.zeros(3))

    def forward(self, inputs: torch.Tensor, *, skip: bool, told: Told) -> torch.Tensor:
        for number, vector in enumerate(self.vectors):
            if not (skip and number == 2):
                inputs = inputs * vector.sum()
                inputs.register_hook(lambda _, number=number: told.events.append(f"at {number}"))
        return inputs


def walk_chain() -> dict[str, Any]:
    """Two passes in process 0, the last of them without the third vector; one in 1; none in 2."""
    rank = idist.get_rank()
    chain = Chain()
    with Told() as told:
        sums = GradientSums(list(chain.parameters()))
        for number in range(max(2 - rank, 0)):
            is_last = number == 1 - rank
            loss = chain(torch.ones(()), skip=rank == 0 and is_last, told=told)
            with sums.last_pass(chain) if is_last else nullcontext():
                loss.backward()
            told.events.append("walked")
        sums.finish()
    hooks = sum(len(p._post_accumulate_grad_hooks or ()) for p in chain.parameters())
    return {
        "events": told.events,
        "gradients": [None if p.grad is None else p.grad.tolist() for p in chain.parameters()],
        "hooks": hooks,
    }


def too_late() -> str:
    """A gradient that arrives when its sum has begun."""
    chain, told = Chain(), Told()
    sums = GradientSums(list(chain.parameters()))
    with sums.last_pass(chain):
        chain(torch.ones(()), skip=False, told=told).backward()
    chain(torch.ones(()), skip=False, told=told).backward()
    try:
        sums.finish()
    except RuntimeError as error:
        return str(error)
    return "nothing"


def adapt() -> dict[str, Any]:
    """Every method: its updates, and the same with all sums begun when everything else is done."""
    found = {}
    for name, make in METHODS.items():
        with Told() as told:
            meanwhile = log_and_state(make().meet(BATCHES))
        begun = told.events
        with Told() as told, mock.patch.object(GradientSums, "last_pass", return_value=nullcontext()):
            afterwards = log_and_state(make().meet(BATCHES))
        found[name] = {"meanwhile": meanwhile, "afterwards": afterwards, "begun": [begun, told.events]}
    return found


def update_of_one_image() -> dict[str, Any]:
    """When sums begin in an update with an image in process 0 alone, and how many numbers the guide's are."""
    run = made.make_diverse_dusa()
    last, first = list(run.classifier.parameters())[-1], next(run.classifier.parameters())
    with Told() as told:
        for name, parameter in (("the classifier's last layer", last), ("its first", first)):
            parameter.register_hook(lambda _, name=name: told.events.append(name))
        run.meet([("fog", 0, 1)])
    guide = sum(p.numel() for p in run.stateful["transformer"].parameters() if p.requires_grad)
    return {"events": told.events, "guide": guide}


def in_each() -> dict[str, Any]:
    """What every process does."""
    found: dict[str, Any] = {"gradients": reduce_gradients()}
    gradients.BUCKET_BYTES = 8  # of one or two numbers
    found |= {"gradients in small buckets": reduce_gradients(), "chain": walk_chain(), "too late": too_late()}
    gradients.BUCKET_BYTES = 2000
    return found | {"one image": update_of_one_image(), "methods": adapt()}


@pytest.fixture(scope="module", params=[2, 3])
def processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two or three processes found."""
    return in_processes(in_each, tmp_path_factory.mktemp("ranks"), count=request.param)


# One process


def test_one_process_sums_nothing_and_has_no_hooks() -> None:
    chain = Chain()
    with Told() as told:
        sums = GradientSums(list(chain.parameters()))
        with sums.last_pass(chain):
            assert all(parameter._post_accumulate_grad_hooks is None for parameter in chain.parameters())
            chain(torch.ones(()), skip=True, told=told).backward()
        sums.finish()
    assert told.events == ["at 3", "at 1", "at 0"]
    assert [None if p.grad is None else p.grad.tolist() for p in chain.parameters()] == [
        None, [4.0] * 4, [16.0], None, [16.0],
    ]  # fmt: skip
    all_reduce_gradients([chain.unused])
    assert chain.unused.grad is None


def test_a_bucket_is_full_at_its_size_and_has_one_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "BUCKET_BYTES", 16)
    sizes = [(1, torch.float32), (3, torch.float32), (2, torch.float32), (1, torch.float64), (9, torch.float64)]
    parameters = [nn.Parameter(torch.zeros(count, dtype=dtype)) for count, dtype in sizes]
    buckets = [[len(parameter) for parameter in bucket] for bucket in gradients._buckets(parameters)]
    assert buckets == [[1, 3], [2], [1, 9]]
    assert list(gradients._buckets([])) == []


# Several


@pytest.mark.timeout(120)
@pytest.mark.parametrize("key", ["gradients", "gradients in small buckets"])
def test_gradients_are_added_up(processes: list[dict[str, Any]], key: str) -> None:
    factor = {2: 3.0, 3: 6.0}[len(processes)]
    for found in processes:
        everywhere, in_one, nowhere, in_another = found[key]
        assert everywhere == [factor, 10 * factor]
        assert in_one == [3.0, 4.0]
        assert nowhere is None
        assert in_another == [0.1, 0.2, 0.3]


@pytest.mark.timeout(120)
def test_sums_begin_in_one_order_during_the_last_pass(processes: list[dict[str, Any]]) -> None:
    skipping, whole, *without = [found["chain"] for found in processes]
    first_walk = ["at 3", "at 2", "at 1", "at 0", "walked"]
    assert skipping["events"] == [*first_walk, "at 3", "at 1", "at 0", 3, 5, 3, "walked"]  # the third never comes
    assert whole["events"] == ["at 3", "at 2", 3, "at 1", "at 0", 5, 3, "walked"]
    assert [found["events"] for found in without] == [[3, 5, 3]] * len(without)
    for found in (skipping, whole, *without):
        assert found["gradients"] == [None, [36.0] * 4, [144.0], [64.0] * 2, [144.0]]
        assert found["hooks"] == 0


@pytest.mark.timeout(120)
def test_a_gradient_that_comes_too_late_is_an_error(processes: list[dict[str, Any]]) -> None:
    assert {found["too late"] for found in processes} == {"a gradient has arrived after its sum had begun"}


@pytest.mark.timeout(120)
def test_guided_updates_begin_their_sums_on_the_way_back(processes: list[dict[str, Any]]) -> None:
    with_image, *without = [found["one image"] for found in processes]
    events, guide = with_image["events"], with_image["guide"]
    last, first = events.index("the classifier's last layer"), events.index("its first")
    of_guide = events[:last]
    assert sum(of_guide) <= guide < sum(of_guide) + events[last + 1]  # all buckets that are the guide's alone
    assert len(of_guide) > 5
    assert first - last > 20
    assert len(events[first + 1 :]) == 1
    sums = [event for event in events if isinstance(event, int)]
    assert [found["events"] for found in without] == [sums] * len(without)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", METHODS)
def test_updates_are_those_of_sums_that_begin_afterwards(name: str, processes: list[dict[str, Any]]) -> None:
    first, *others = [found["methods"][name] for found in processes]
    assert_identical(first["meanwhile"], first["afterwards"])
    assert len(first["begun"][0]) > 4 * len(BATCHES)
    assert first["begun"][0] == first["begun"][1]
    for other in others:
        assert other["begun"] == first["begun"]
        assert_identical(other["meanwhile"]["state"], first["meanwhile"]["state"])
