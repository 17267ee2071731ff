"""Digits on canvases: segmentation for two cores. Images and label maps are made as they are read; no files needed."""

from __future__ import annotations

import functools
import hashlib
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from dusa_ignite.data.corrupted import CorruptedDataSet
from dusa_ignite.data.corruptions import CORRUPTIONS, corrupt, photograph_strengths
from dusa_ignite.data.digits import task_half, to_uint8
from dusa_ignite.data.segmentation.drawing import CLASSES, draw_canvas
from dusa_ignite.data.task import ProblemName, Task
from dusa_ignite.utils.seeding import derive_seed

VERSION = 1  # of the canvases, the corruptions and their strengths: a change of pixels is a change of the data


class Canvases(CorruptedDataSet):
    """scikit-learn's handwritten digits on textured ground, under eight corruptions; no files needed."""

    benchmark_corruptions: ClassVar[tuple[str, ...]] = tuple(CORRUPTIONS)
    all_corruptions: ClassVar[tuple[str, ...]] = tuple(CORRUPTIONS)

    problem: ClassVar[ProblemName] = "segmentation"
    ratio: ClassVar[float] = 1.0

    name: Literal["canvases"] = "canvases"
    num_workers: int = Field(
        default=0, ge=0, le=512, description="loader processes, >= 0; 0 = load in the main process"
    )
    count: int = Field(default=200, ge=1, le=100_000, description="canvases per task, >= 1")
    side: int = Field(default=64, ge=32, le=1024, description="pixels, side of a canvas; digits grow with it")

    def tasks(self) -> list[Task]:
        """The same canvases under each of :attr:`pairs`.

        Raises:
            DataError: scikit-learn is missing.
        """
        task_half()  # tells of what is missing before anything is loaded
        return [self._task(corruption, severity) for corruption, severity in self.pairs]

    def _task(self, corruption: str, severity: int) -> Task:
        canvases: Any = CorruptedCanvases(corruption, severity, count=self.count, side=self.side)  # maps, not labels
        return Task(f"{corruption}/{severity}", canvases, CLASSES)


class CorruptedCanvases:
    """Canvases with digits of the test half under one corruption: a fixed data set, whatever the run's seed.

    Canvas k is the same under all corruptions and for every ``count``. What is random in it depends on k alone, what is
    random in a corruption on (corruption, severity, k), as if the images lay on disk.

    Args:
        corruption: a key of :data:`dusa_ignite.data.corruptions.CORRUPTIONS`; ``None`` = none, clean canvases.
        severity: 1 (mild) .. 5 (strong), of :data:`dusa_ignite.data.corruptions.PHOTOGRAPHS`.
        count: N, >= 1.
        side: of a canvas in pixels.

    Attributes:
        labels: (N,) int64, all -1: no image has a label as a whole.
    """

    has_label_maps = True

    def __init__(self, corruption: str | None, severity: int = 5, *, count: int, side: int) -> None:
        self.corruption = corruption
        self.severity = severity
        self.side = side
        self.labels = torch.full((count,), -1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The image, uint8 RGB (3, side, side), and its label map, int64 (side, side).

        Raises:
            DataError: scikit-learn is missing.
            IndexError: there is no such canvas.
        """
        position = range(len(self))[index]
        clean, labels = draw_canvas(*_scans(), side=self.side, generator=_generator(position))
        return to_uint8(clean if self.corruption is None else self._corrupted(clean, position)), labels

    def _corrupted(self, clean: torch.Tensor, position: int) -> torch.Tensor:
        assert self.corruption is not None
        return corrupt(
            clean,
            corruption=self.corruption,
            severity=self.severity,
            generator=_generator(self.corruption, self.severity, position),
            strengths=photograph_strengths(self.side, self.side),
        )

    def fingerprint(self) -> str:
        """SHA-256 of what makes the pixels: the scans, and what is done with them."""
        paper, digits = _scans()
        made_of = (self.corruption, self.severity, len(self), self.side, VERSION)
        scans = paper.numpy().tobytes() + digits.numpy().tobytes()
        return hashlib.sha256(repr(made_of).encode() + scans).hexdigest()


def _generator(*key: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed("canvases", *key))


@functools.lru_cache(maxsize=1)
def _scans() -> tuple[torch.Tensor, torch.Tensor]:
    """The test half; kept, as every canvas needs it."""
    return task_half()
