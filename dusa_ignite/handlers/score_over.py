"""Predictions among the classes that a task holds: the others cannot be predicted, nor take part in metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events

from dusa_ignite.data.present import mask_absent, put_back
from dusa_ignite.engine import batch_of, output_of


class ScoreOver:
    """Masks the logits of absent classes in the output: ``y_pred``, and where there are such ``ema_y_pred`` and
    ``source_y_pred``. Where the classifier was restricted, ``candidates`` become labels among all classes again.

    Confidence, top-5, calibration error and written predictions are then those among the present classes. The update
    has been made by now, with all classes. Attach it behind :class:`NormEMA` and :class:`HarmMonitor`, and before
    everything that reads predictions.

    Args:
        present: by task, (C,) bool: the classes that it holds, see
            :func:`dusa_ignite.data.present.present_classes`.
        narrow: the classifier was restricted to the present classes (``method.restrict_to: present``), so its logits
            are theirs alone, (B, K), and are put back into the places of all.

    Example:
        >>> ScoreOver({task.name: present_classes(task, num_classes=1000) for task in tasks}).attach(engine)
    """

    def __init__(self, present: Mapping[str, torch.Tensor], *, narrow: bool = False) -> None:
        self.present = present
        self.narrow = narrow

    def attach(self, engine: Engine) -> None:
        """Mask after every update."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.mask)

    def mask(self, engine: Engine) -> None:
        """Mask the update at hand."""
        output: Any = output_of(engine)
        present = self.present[batch_of(engine)["task"]]
        only_present = put_back if self.narrow else mask_absent
        for key in ("y_pred", "ema_y_pred", "source_y_pred"):
            if key in output:
                output[key] = only_present(output[key], present)
        if self.narrow and "candidates" in output:
            candidates = output["candidates"]
            output["candidates"] = present.nonzero().flatten().to(candidates.device)[candidates]

    @property
    def largest(self) -> int:
        """The most classes that a task holds."""
        return max(int(present.sum()) for present in self.present.values())

    def describe(self) -> dict[str, Any]:
        """For run.json and summary.json: over what, of how many, and how many in each task."""
        counts = {task: int(present.sum()) for task, present in self.present.items()}
        return {"over": "present", "classes": len(next(iter(self.present.values()))), "present": counts}
