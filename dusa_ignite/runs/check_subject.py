"""What a check has found so far; its sections hand it on from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dusa_ignite.config import Config
from dusa_ignite.data import Task
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.runs.class_check import FoundData
from dusa_ignite.runs.parts import CheckOptions


@dataclass
class Subject:
    """The run that is checked. What could not be made is ``None``, or empty.

    Attributes:
        config: of the run.
        options: what a check wants to know of it.
        overwrite: whether the run may replace an earlier one.
        tasks: of the data set, not yet arranged as the setting says.
        found: the same with the names of their classes, once these are known to fit.
        classifier, guide: with their weights.
        stateful: everything that an update changes, by name.
    """

    config: Config
    options: CheckOptions
    overwrite: bool
    tasks: list[Task] = field(default_factory=list)
    found: FoundData | None = None
    classifier: Classifier | None = None
    guide: Guide | None = None
    stateful: dict[str, Any] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the data, in the order of their labels."""
        return self.found.classes if self.found else ()
