"""Images that come from anywhere: checked before anything else happens, then put into the engine's form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dusa_ignite.data.pixels import what_is_wrong
from dusa_ignite.data.stream import stack_images
from dusa_ignite.engine import Batch
from dusa_ignite.errors import DataError
from dusa_ignite.models.views import Images

Numbers = torch.Tensor | Sequence[int]


def checked_images(images: torch.Tensor | Sequence[torch.Tensor]) -> Images:
    """The images as the engine takes them; a list whose images are all of one shape and dtype becomes a tensor.

    Args:
        images: (B, 3, H, W) or (B, 1, H, W), or a list of (3, H, W) or (1, H, W); uint8 0 .. 255 or float 0 .. 1, see
            :func:`dusa_ignite.data.pixels.what_is_wrong`. B >= 1.

    Raises:
        DataError: they are something else; the message says what came, and of a list which image.
    """
    if not isinstance(images, torch.Tensor) and isinstance(images, Sequence):
        for number, image in enumerate(images):
            wrong = what_is_wrong(image) or ("" if image.ndim == 3 else _shape(image, "(3, H, W) in a list"))
            if wrong:
                raise DataError(f"images[{number}]: {wrong}")
        found = stack_images([image.detach() for image in images])
    else:
        wrong = what_is_wrong(images)
        if not wrong and images.ndim == 3:
            wrong = _shape(images, "(B, 3, H, W); a single one is images[None]")
        if wrong:
            raise DataError(f"images: {wrong}")
        found = images.detach()
    if len(found) == 0:
        raise DataError("images: there are none; a batch has at least one")
    return found


def _shape(image: torch.Tensor, wanted: str) -> str:
    return f"shape {tuple(image.shape)}; images are {wanted}"


@dataclass
class Position:
    """Where a stream is.

    Attributes:
        task: the one that is under way; ``None`` = none is, the next batch begins one.
        next_index: of the next image of that task.
        images: met since the beginning, over all tasks.
    """

    task: str | None = None
    next_index: int = 0
    images: int = 0

    def batch(
        self, images: Images, *, task: str, index: Numbers | None, labels: Numbers | None, last: bool = False
    ) -> Batch:
        """The next batch; the position stays until :meth:`go_behind` it.

        Args:
            images: checked.
            task: its name; another one than before begins a task.
            index: (B,) what the images' noise is drawn from, with the task's name, >= 0; ``None`` = their number in
                the task, in the order in which they come.
            labels: (B,) for metrics, -1 = unknown; ``None`` = all are.
            last: whether the task ends with it.

        Raises:
            DataError: there are more or fewer numbers than images, or others than integers.
        """
        count = len(images)
        start = self.next_index if task == self.task else 0
        return {
            "images": images,
            "labels": torch.full((count,), -1) if labels is None else _integers(labels, count, "labels", least=-1),
            "index": torch.arange(start, start + count) if index is None else _integers(index, count, "index", least=0),
            "task": task,
            "first": task != self.task,
            "last": last,
            "unreadable": [],
        }

    def go_behind(self, batch: Batch) -> None:
        """The batch has been met; the next one's images are numbered from behind the largest of its numbers."""
        before = 0 if batch["first"] else self.next_index
        self.next_index = max(before, int(batch["index"].max()) + 1)
        self.task = None if batch["last"] else batch["task"]
        self.images += len(batch["index"])


def _integers(numbers: Any, count: int, name: str, *, least: int) -> torch.Tensor:
    found = torch.as_tensor(numbers).detach().cpu()
    if found.shape != (count,) or found.is_floating_point() or found.dtype == torch.bool or int(found.min()) < least:
        raise DataError(f"{name}: {count} integers >= {least} are wanted, one for each image")
    return found.to(torch.int64)
