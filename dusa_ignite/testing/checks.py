"""What must hold for every method, one function each; they raise an ``AssertionError`` that says why.

``make`` is a function that makes a fresh :class:`dusa_ignite.testing.runs.Run` of the method, always the same; it takes
``micro_batch_size``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from dusa_ignite.handlers import TaskReset
from dusa_ignite.testing.compare import assert_close, assert_identical, expect, through_a_file
from dusa_ignite.testing.runs import CONTINUAL, Run
from dusa_ignite.testing.toys import CLASSES

Make = Callable[..., Run]


def check_micro_batches(make: Make) -> None:
    """The micro-batch size changes nothing: 1 and 3 images at once give the log and the state of 8, to 1e-10.

    It must not matter either where a batch mean, or anything else of the whole batch, is taken.
    """
    whole = make(micro_batch_size=8).meet(CONTINUAL)
    for size in (1, 3):
        parts = make(micro_batch_size=size).meet(CONTINUAL)
        assert_close({"log": parts.log, "state": parts.state()}, {"log": whole.log, "state": whole.state()})


def check_reset(make: Make) -> None:
    """After a reset, a task is as it would have been alone, bit for bit, over several updates.

    So everything that a method changes is in its state: in ``state_dict`` of the method, or in classifier, transformer
    or optimizer. A method that trains anything must learn from at least two of the toy batches, or the check would
    prove nothing.
    """
    run, alone = make(), make()
    later = [*CONTINUAL[2:], ("snow", 6, 4)]
    reset = TaskReset(run.stateful)
    source = alone.state()
    run.meet(CONTINUAL[:2])
    learns = run.method.trains != "nothing"
    if learns:
        moved = [k for k, v in run.state()["classifier"].items() if not torch.equal(v, source["classifier"][k])]
        expect(bool(moved), "the classifier has learnt nothing from two batches; give options with which it learns")
    reset.reset()
    assert_identical(
        {k: v for k, v in run.state().items() if k != "optimizer"},
        {k: v for k, v in source.items() if k != "optimizer"},
    )
    run.meet(later)
    alone.meet(later)
    if learns:
        losses = sum(math.isfinite(output["loss"]) for output in alone.log)
        expect(losses >= 2, f"only {losses} of {len(later)} batches have a loss; give options with which more have one")
    assert_identical({"log": run.log[2:], "state": run.state()}, {"log": alone.log, "state": alone.state()})


def check_resume(make: Make) -> None:
    """A run that goes on from a file equals one that never stopped, bit for bit; what was saved does not change.

    The method's state must consist of tensors and plain values, and ``load_state_dict`` must copy what it is given.
    """
    whole, first, second = make().meet(CONTINUAL), make().meet(CONTINUAL[:3]), make()
    saved = through_a_file(first.state())
    kept = copy.deepcopy(saved)
    for name, thing in second.stateful.items():
        thing.load_state_dict(saved[name])
    second.engine.state.iteration = 3
    second.meet(CONTINUAL[3:])
    assert_identical({"log": second.log, "state": second.state()}, {"log": whole.log[3:], "state": whole.state()})
    assert_identical({"saved": saved["method"]}, {"saved": kept["method"]})


def check_empty(make: Make) -> None:
    """A batch without images changes nothing: predictions (0, C), loss NaN, no update skipped, all state as before."""
    run = make().meet(CONTINUAL[:1])
    before = run.state()
    output = run.meet([("fog", 0, 0)]).log[-1]
    for name, shape in (("y_pred", (0, CLASSES)), ("y", (0,))):
        found = tuple(output[name].shape)  # type: ignore[literal-required]
        expect(found == shape, f"{name} must be of shape {shape}, not {found}")
    expect(math.isnan(output["loss"]), f"the loss must be NaN, not {output['loss']}")
    expect(output["diagnostics"]["skipped_update"] == 0, "skipped_update must be 0: there was nothing to learn from")
    assert_identical(run.state(), before)


def check_not_finite(make: Make) -> None:
    """A gradient that is not finite skips the update: classifier, guide and optimizer stay, and it is counted.

    For methods that train anything. What the method itself remembers may go on.
    """
    run = make().meet(CONTINUAL[:1])
    before = run.state()
    parameter = next(p for p in run.classifier.parameters() if p.requires_grad)
    parameter.register_hook(lambda gradient: gradient * math.inf)
    output = run.meet(CONTINUAL[1:2]).log[-1]
    expect(output["diagnostics"]["skipped_update"] == 1, "skipped_update must be 1")
    expect(bool(output["y_pred"].isfinite().all()), "the predictions must be finite all the same")
    assert_identical(
        {k: v for k, v in run.state().items() if k != "method"}, {k: v for k, v in before.items() if k != "method"}
    )


def check_processes(processes: Sequence[dict[str, Any]], single: dict[str, Any], *, tolerance: float = 1e-10) -> None:
    """Several processes predict and learn what a single one does.

    Args:
        processes: of each, in order of rank, see :func:`dusa_ignite.testing.runs.log_and_state`.
        single: the same of one process with the whole batches.
        tolerance: largest difference of two numbers, >= 0. Between the processes there must be none at all.
    """
    first, *others = processes
    assert_close({"state": first["state"]}, {"state": single["state"]}, tolerance)
    for other in others:
        assert_identical({"state": other["state"]}, {"state": first["state"]})  # no process drifts away
    for number, output in enumerate(single["log"]):
        shares = [found["log"][number] for found in processes]
        for key in ("y_pred", "y"):
            assert_close({key: torch.cat([share[key] for share in shares])}, {key: output[key]}, tolerance)
        for share in shares:
            for key in ("loss", "diagnostics"):
                assert_close({key: share[key]}, {key: output[key]}, tolerance)
