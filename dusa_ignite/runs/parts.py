"""What a run is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dusa_ignite.data import Task, TaskStream
from dusa_ignite.handlers import HarmMonitor, NormEMA, ScoreOver
from dusa_ignite.methods import Method
from dusa_ignite.models import Classifier
from dusa_ignite.problems import Problem


@dataclass(frozen=True)
class HandlerOptions:
    """What handlers want to know; see the sections ``run``, ``checkpoint`` and ``export`` of the config."""

    log_every_seconds: float
    max_skipped_in_a_row: int
    export: str | None
    class_names: tuple[str, ...]
    data_root: str | None
    every_minutes: float | None
    every_updates: int | None
    keep: int
    background: bool


@dataclass(frozen=True)
class CheckOptions:
    """What a check wants to know; see the sections ``data``, ``classifier``, ``method``, ``checkpoint``, ..."""

    survey: Callable[[list[str]], list[Task]]
    threads: int
    skips_unreadable: bool
    clean_minimum: float | None
    classifier_weights: str
    guide_weights: str | None
    method: str
    setting: str
    guided: bool
    keep: int
    export: str | None
    tracking: dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        problem: what is predicted.
        stream: this process's share of all batches.
        classifier: on its device.
        method: the update, the engine's process function.
        monitor: looks out for harm, unless it is off.
        norm_ema: the averaged norms, where asked for.
        score_over: masks the classes that a task does not hold, where asked for.
        stateful: everything that a method changes, by name: what resets restore.
        full_state: the same as checkpoints hold it, whatever is sharded gathered.
        resets: before what the stateful things are restored: ``task``, ``batch`` or ``never``.
        tracking: where the run can be watched, arguments of ``attach_tracking``.
        description: of everything, for run.json.
        notes: lines for the log that say what was made of the data and the weights.
        summary: what the run is called, for summary.json.
        options: those of the handlers.
    """

    problem: Problem
    stream: TaskStream
    classifier: Classifier
    method: Method
    monitor: HarmMonitor | None
    norm_ema: NormEMA | None
    score_over: ScoreOver | None
    stateful: dict[str, Any]
    full_state: dict[str, Any]
    resets: str
    tracking: dict[str, Any]
    description: dict[str, Any]
    notes: list[str]
    summary: dict[str, Any]
    options: HandlerOptions

    @property
    def num_scored(self) -> int:
        """The most classes that predictions of a task are made among."""
        return self.score_over.largest if self.score_over else self.classifier.num_classes
