"""What a problem is: its metrics, its predictions, and what is kept of the adapted model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ignite.metrics import Metric

from dusa_ignite.data.task import ProblemName


class Problem(NamedTuple):
    """What a run asks of a problem.

    Attributes:
        name: in the config.
        metrics: of the current task, by name, which are columns of the results; called with ``num_classes``, ``ema``,
            ``source`` and ``device``, see :func:`dusa_ignite.handlers.metrics.task_metrics`.
        predictions: called with the run's folder, ``class_names`` and ``path_of``; a handler that writes every image's
            prediction, a :class:`dusa_ignite.handlers.append.AppendedFile`.
        export: called with the run's folder, the model that predicts, ``class_names`` and ``kind`` (see the option
            ``export``); a handler that keeps the adapted model of every task.
    """

    name: ProblemName
    metrics: Callable[..., dict[str, Metric]]
    predictions: Callable[..., Any]
    export: Callable[..., Any]
