"""Runs of any method on toy models, and what must hold for all of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from torch import nn

from dusa_ignite.handlers import TaskReset
from dusa_ignite.models import Classifier
from dusa_ignite.models.guides.times import uniform
from support.toys import CLASSES, SEED, SIDE, assert_identical, flat, through_a_file, toy_classifier, toy_guide

LR = 0.05
CONTINUAL = [("fog", 0, 5), ("fog", 5, 3), ("snow", 0, 5), ("snow", 5, 1)]  # task, first image, images


def make_batch(task: str, first: int, count: int) -> dict[str, Any]:
    """Noise images that differ in brightness, as one of the processes there are."""
    generator = torch.Generator().manual_seed(len(task))
    images = torch.randint(256, (16, 3, SIDE, SIDE), generator=generator)
    images = (images * torch.rand(16, 3, 1, 1, generator=generator)).to(torch.uint8)
    index = torch.arange(first, first + count).tensor_split(idist.get_world_size())[idist.get_rank()]
    return {"images": images[index], "labels": index % CLASSES, "index": index, "task": task}


class Run:
    """A method with all its state; ``log`` keeps every output.

    Args:
        factory: the method's.
        memory: the class of its memory, if it has one.
        classifier: float64; by default one without BatchNorm.
        guided: whether it needs the guide.
        lr: of SGD with momentum and weight decay; ``None`` where nothing learns.
        options: of the factory.
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        *,
        memory: Callable[[Classifier], Any] | None = None,
        classifier: Classifier | None = None,
        guided: bool = False,
        lr: float | None = LR,
        micro_batch_size: int = 2,
        **options: Any,
    ) -> None:
        self.classifier = (classifier or toy_classifier()).double()
        self.stateful: dict[str, Any] = {"classifier": self.classifier}
        options |= {"classifier": self.classifier, "micro_batch_size": micro_batch_size}
        models: list[nn.Module] = [self.classifier]
        if memory is not None:
            self.memory = self.stateful["method"] = options["memory"] = memory(self.classifier)
        if guided:
            guide = toy_guide().double()
            options |= {"guide": guide, "time": uniform(t_min=0.2, t_max=0.8)}
            self.stateful["transformer"] = guide.transformer
            models.append(guide)
        if lr is not None:
            learning = [p for model in models for p in model.parameters() if p.requires_grad]
            optimizer = torch.optim.SGD(learning, lr=lr, momentum=0.9, weight_decay=0.01)
            self.stateful["optimizer"] = options["optimizer"] = optimizer
            options["seed"] = SEED
        self.update = factory(**options)
        self.engine = Engine(self.update)
        self.log: list[dict[str, Any]] = []

    def meet(self, batches: Sequence[tuple[str, int, int]]) -> Run:
        """Update on one batch after the other."""
        for batch in batches:
            self.engine.state.iteration += 1
            self.log.append(self.update(self.engine, make_batch(*batch)))
        return self

    def state(self) -> dict[str, Any]:
        """A copy of everything stateful."""
        return {name: copy.deepcopy(thing.state_dict()) for name, thing in self.stateful.items()}


def assert_close(ours: Any, expected: Any, tolerance: float = 1e-10) -> None:
    """Two nested states or outputs agree leaf by leaf."""
    a, b = flat(ours), flat(expected)
    assert a.keys() == b.keys()
    for path, value in b.items():
        if not isinstance(value, torch.Tensor | float | int):
            assert a[path] == value, path
        else:
            pair = [torch.as_tensor(leaf, dtype=torch.float64) for leaf in (a[path], value)]
            torch.testing.assert_close(*pair, rtol=0, atol=tolerance, equal_nan=True, msg=path)


def log_and_state(run: Run) -> dict[str, Any]:
    """What one process has to compare with another."""
    return {"log": run.log, "state": run.state()}


def check_processes(processes: Sequence[dict[str, Any]], single: dict[str, Any], *, tolerance: float = 1e-10) -> None:
    """Several processes predicted and learned what a single one did; each argument as of :func:`log_and_state`."""
    first, *others = processes
    assert_close(first["state"], single["state"], tolerance)
    for other in others:
        assert_identical(other["state"], first["state"])  # no process drifts away
    for number, output in enumerate(single["log"]):
        shares = [found["log"][number] for found in processes]
        for key in ("y_pred", "y"):
            assert_close(torch.cat([share[key] for share in shares]), output[key], tolerance)
        for share in shares:
            for key in ("loss", "diagnostics"):
                assert_close({key: share[key]}, {key: output[key]}, tolerance)


def check_micro_batches(make: Callable[..., Run]) -> None:
    """The micro-batch size changes nothing."""
    whole = make(micro_batch_size=8).meet(CONTINUAL)
    for size in (1, 3):
        parts = make(micro_batch_size=size).meet(CONTINUAL)
        assert_close(parts.log, whole.log)
        assert_close(parts.state(), whole.state())


def check_reset(make: Callable[..., Run]) -> None:
    """After a reset, a task is as it would have been alone, bit for bit, over several updates."""
    run, alone = make(), make()
    later = [*CONTINUAL[2:], ("snow", 6, 4)]
    reset = TaskReset(run.stateful)
    source = alone.state()
    run.meet(CONTINUAL[:2])
    assert any(not torch.equal(value, source["classifier"][k]) for k, value in run.state()["classifier"].items())
    reset.reset()
    assert_identical(
        {k: v for k, v in run.state().items() if k != "optimizer"},
        {k: v for k, v in source.items() if k != "optimizer"},
    )
    run.meet(later)
    alone.meet(later)
    assert sum(math.isfinite(output["loss"]) for output in alone.log) >= 2
    assert_identical(run.log[2:], alone.log)
    assert_identical(run.state(), alone.state())


def check_resume(make: Callable[..., Run]) -> None:
    """A run that goes on from a file equals one that never stopped, bit for bit; what was saved does not change."""
    whole, first, second = make().meet(CONTINUAL), make().meet(CONTINUAL[:3]), make()
    saved = through_a_file(first.state())
    kept = copy.deepcopy(saved)
    for name, thing in second.stateful.items():
        thing.load_state_dict(saved[name])
    second.engine.state.iteration = 3
    second.meet(CONTINUAL[3:])
    assert_identical(second.log, whole.log[3:])
    assert_identical(second.state(), whole.state())
    if "method" in saved:
        assert_identical(saved["method"], kept["method"])


def check_empty(make: Callable[..., Run]) -> None:
    """A batch without images changes nothing."""
    run = make().meet(CONTINUAL[:1])
    before = run.state()
    output = run.meet([("fog", 0, 0)]).log[-1]
    assert output["y_pred"].shape == (0, CLASSES)
    assert output["y"].shape == (0,)
    assert math.isnan(output["loss"])
    assert output["diagnostics"]["skipped_update"] == 0
    assert_identical(run.state(), before)


def check_not_finite(make: Callable[..., Run]) -> None:
    """A gradient that is not finite skips the update and leaves everything as it was."""
    run = make().meet(CONTINUAL[:1])
    before = run.state()
    parameter = next(p for p in run.classifier.parameters() if p.requires_grad)
    parameter.register_hook(lambda gradient: gradient * math.inf)
    run.meet(CONTINUAL[1:2])
    assert run.log[-1]["diagnostics"]["skipped_update"] == 1
    assert run.log[-1]["y_pred"].isfinite().all()
    assert_identical(
        {k: v for k, v in run.state().items() if k != "method"}, {k: v for k, v in before.items() if k != "method"}
    )


def check_without_learning(make: Callable[..., Run]) -> None:
    """With learning rate 0 all predictions are exactly the source's."""
    run = make(lr=0.0).meet(CONTINUAL)
    source = toy_classifier().double()
    for batch, output in zip(CONTINUAL, run.log, strict=True):
        images = make_batch(*batch)["images"].double() / 255
        expected = torch.cat([source(images[i : i + 2]) for i in range(0, len(images), 2)])
        assert torch.equal(output["y_pred"], expected)


def sgd_step(loss: torch.Tensor, models: Sequence[nn.Module], velocity: dict[str, torch.Tensor]) -> None:
    """What the optimizer of :class:`Run` does, in plain torch; ``velocity`` is kept from step to step."""
    named = {f"{i}.{n}": p for i, m in enumerate(models) for n, p in m.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()))
    with torch.no_grad():
        for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
            velocity[name] = 0.9 * velocity.get(name, 0) + gradient + 0.01 * parameter
            parameter -= LR * velocity[name]
