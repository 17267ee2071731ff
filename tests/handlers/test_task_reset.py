"""A reset is exact: what came before a task leaves no trace."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support.toys import Adaptation, assert_identical, flat, identical, noise_task, toy_classifier
from torch import nn

from dusa_ignite.data.task import Task
from dusa_ignite.handlers import TaskReset

# six and seven images: neither is a multiple of the batch size (4), nor seven of the micro-batch size (2)
FOG, SNOW = noise_task("fog", 6, seed=0), noise_task("snow", 7, seed=1)


def run(tasks: list[Task], *, name: str, trainable: str, optimizer: str, reset: bool = True) -> Adaptation:
    adaptation = Adaptation(
        toy_classifier(name, trainable=trainable),
        optimizer=optimizer,
        dtype=torch.float32,
        reset=reset,
        ema_decay=0.5,
        scaler=torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2),
    )
    return adaptation.run(tasks, batch_size=4)


def log_of(adaptation: Adaptation, task: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "iteration"} for line in adaptation.log if line["task"] == task]


@pytest.mark.parametrize("optimizer", ["adam", "sgd with momentum"])
@pytest.mark.parametrize("trainable", ["all", "norm"])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])  # BatchNorm with the batch's statistics; LayerNorm
def test_a_task_after_others_equals_the_task_alone(name: str, trainable: str, optimizer: str) -> None:
    options: dict[str, Any] = {"name": name, "trainable": trainable, "optimizer": optimizer}
    alone = run([SNOW], **options)
    after = run([FOG, SNOW], **options)
    assert [line["task"] for line in after.log] == ["fog", "fog", "snow", "snow"]
    assert_identical(after.state(), alone.state())
    assert_identical(log_of(after, "snow"), log_of(alone, "snow"))
    assert_identical(after.rows()[1:], alone.rows())
    assert alone.stateful["scaler"].get_scale() == 8  # doubled after two updates: it has a state that matters

    continual = run([FOG, SNOW], **options, reset=False)
    ours, theirs = flat(continual.state()), flat(alone.state())
    assert ours.keys() == theirs.keys()
    differing = {path.split("/")[1] for path, value in ours.items() if not identical(value, theirs[path])}
    assert differing == {"classifier", "transformer", "optimizer", "scaler", "norm_ema"}
    assert not torch.equal(continual.log[-1]["logits"], alone.log[-1]["logits"])


def test_the_snapshot_serves_again_and_again() -> None:
    options: dict[str, Any] = {"name": "test_resnet", "trainable": "all", "optimizer": "adam"}
    alone = run([SNOW], **options)
    third = run([FOG, noise_task("rain", 10, seed=2), SNOW], **options)
    assert_identical(third.state(), alone.state())
    assert_identical(third.rows()[2:], alone.rows())


def test_a_second_run_of_the_same_engine_equals_the_first() -> None:
    adaptation = Adaptation(reset=True, ema_decay=0.5).run([FOG], batch_size=4)
    first = adaptation.state()
    adaptation.run([FOG], batch_size=4)
    assert_identical(adaptation.state(), first)
    half = len(adaptation.log) // 2
    assert_identical(adaptation.log[half:], adaptation.log[:half])


class Model(nn.Module):
    """A trainable and a frozen parameter, and a buffer."""

    counter: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.tensor([1.0]))
        self.frozen = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
        self.register_buffer("counter", torch.tensor(3))


class Memory:
    """Keeps the very objects it is given, as some optimizers do."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {"tensor": torch.zeros(2), "names": ["a"]}

    def state_dict(self) -> dict[str, Any]:
        return self.content

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.content = state


def test_parameters_buffers_and_pending_gradients() -> None:
    model = Model()
    reset = TaskReset({"model": model})
    with torch.no_grad():
        model.free.fill_(9)
        model.counter.fill_(9)
    model.free.grad = torch.ones(1)
    reset.reset()
    assert (model.free.item(), model.frozen.item(), model.counter.item()) == (1, 2, 3)
    assert model.free.grad is None


def test_frozen_parameters_are_not_copied() -> None:
    assert TaskReset({"model": Model()}).snapshot["model"].keys() == {"free", "counter"}
    classifier = toy_classifier("test_resnet", trainable="norm")
    kept = TaskReset({"classifier": classifier}).snapshot["classifier"]
    frozen = {name for name, parameter in classifier.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert kept.keys() == classifier.state_dict().keys() - frozen
    assert any(name.endswith("running_mean") for name in kept)


def test_the_snapshot_is_nobodys_but_ours() -> None:
    model, memory = Model(), Memory()
    reset = TaskReset({"model": model, "memory": memory})
    for _ in range(3):
        with torch.no_grad():
            model.free += 1
        memory.content["tensor"] += 1
        memory.content["names"].append("b")
        reset.reset()
        assert model.free.item() == 1
        assert memory.content["tensor"].tolist() == [0, 0]
        assert memory.content["names"] == ["a"]


def test_an_optimizer_forgets_its_moments_and_a_changed_learning_rate() -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    reset = TaskReset({"optimizer": optimizer})
    before = copy.deepcopy(optimizer.state_dict())
    parameter.grad = torch.ones(1)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.5
    assert optimizer.state_dict()["state"][0]["exp_avg"].item() == pytest.approx(0.1)
    reset.reset()
    assert optimizer.state_dict() == before
    assert optimizer.param_groups[0]["params"][0] is parameter
