"""The contract of all methods, checked in one call."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dusa_ignite.methods import Method
from dusa_ignite.models import Classifier
from dusa_ignite.models.early_norms import early_norm_parameters
from dusa_ignite.testing import checks
from dusa_ignite.testing.compare import expect
from dusa_ignite.testing.processes import in_processes
from dusa_ignite.testing.runs import CONTINUAL, Run, log_and_state, make_options
from dusa_ignite.testing.toys import sharp_classifier
from dusa_ignite.utils.own_parts import load_part

BATCHES = [*CONTINUAL, ("snow", 7, 0)]  # of two processes; one has no image in the last two
LR = 0.002  # sharp classifiers learn fast
TRAINABLE = {"anything": "all", "norms": "norm", "early_norms": "norm", "nothing": "none"}


def check_method(method: type[Method], options: Method.Options | None = None, **keywords: Any) -> None:
    """Whether a method keeps the contract of all methods, on toy models in float64; takes about a quarter of a minute.

    In this order:

    * micro-batches: the micro-batch size changes nothing (:func:`dusa_ignite.testing.checks.check_micro_batches`);
    * reset: after a reset, a task is as it would have been alone, bit for bit (``check_reset``);
    * resume: a run that goes on from a saved state equals one that never stopped, bit for bit (``check_resume``);
    * empty batch: a batch without images changes nothing (``check_empty``);
    * non-finite gradient: it skips the update (``check_not_finite``); not for methods that train nothing;
    * processes: two processes make the updates and the predictions of one, to 1e-10 (``check_processes``).

    Batches have 5, 3, 5 and 1 images in two tasks, and 7 classes. The classifier has no BatchNorm and is sure of some
    of the images; it learns with a rate of 0.002 whatever the method trains.

    Args:
        method: the class, at the top level of a file: other processes load it from there.
        options: of it; ``None`` = made from ``keywords``. They have to let it learn from batches this small.
        keywords: of ``method.Options``.

    Raises:
        AssertionError: it does not; the message names the check that failed and says why.

    Example:
        In a test, or in a script under ``if __name__ == "__main__":``, as other processes import it:

        >>> check_method(MyMethod, temperature=0.5)
    """
    made = make_options(method, keywords) if options is None else options
    make = partial(_make, method, made)
    for name, check in CHECKS.items():
        if name == "non-finite gradient" and method.trains == "nothing":
            continue
        try:
            check(make)
        except AssertionError as error:
            promise = (inspect.getdoc(check) or "").splitlines()[0]
            raise AssertionError(f"{method.__name__} fails the check {name!r}: {error}\n({promise})") from error


def check_two_processes(make: checks.Make) -> None:
    """Two processes make the updates and the predictions of one, to 1e-10, whatever their shares of a batch are."""
    run = make()
    method = type(run.method)
    expect("." not in method.__qualname__, "the class must stand at the top level of a file, where others find it")
    reference = f"{Path(inspect.getfile(method)).absolute()}:{method.__name__}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            processes = in_processes(partial(_adapt, reference, run.method.options.model_dump()), Path(folder))
        except torch.multiprocessing.ProcessRaisedException as error:
            raise AssertionError(f"one of two processes ended with an error: {error}") from error
    checks.check_processes(processes, log_and_state(run.meet(BATCHES)))


CHECKS: dict[str, Callable[[checks.Make], None]] = {
    "micro-batches": checks.check_micro_batches,
    "reset": checks.check_reset,
    "resume": checks.check_resume,
    "empty batch": checks.check_empty,
    "non-finite gradient": checks.check_not_finite,
    "processes": check_two_processes,
}


def _make(method: type[Method], options: Method.Options, *, micro_batch_size: int = 2) -> Run:
    return Run(method, options, classifier=_classifier(method), lr=LR, micro_batch_size=micro_batch_size)


def _classifier(method: type[Method]) -> Classifier:
    classifier = sharp_classifier(trainable=TRAINABLE[method.trains])
    if method.trains == "early_norms":
        chosen = early_norm_parameters(classifier)
        classifier.requires_grad_(False)
        for parameter in chosen.values():
            parameter.requires_grad_(True)
    return classifier


def _adapt(reference: str, options: dict[str, Any]) -> dict[str, Any]:
    """What each process does."""
    method = load_part(reference, key="method")
    return log_and_state(_make(method, method.Options(**options)).meet(BATCHES))
