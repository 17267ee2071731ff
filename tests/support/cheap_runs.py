"""What every small run would do again, though its test asks about something else, done once or left out.

Each of these has tests of its own, where nothing of it is replaced; see ``conftest.py``.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")

CORRUPTED: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]] = {}
SHAPES: dict[str, Any] = {}


def corrupt_digits_once(patch: pytest.MonkeyPatch) -> None:
    """A task of digits is 898 corrupted images, always the same: a run gets a copy of the first run's."""
    digits = sys.modules.get("dusa_ignite.data.digits")
    if digits is None:
        return
    make = digits.CorruptedDigits.__init__

    def copy(self: Any, corruption: str, severity: int) -> None:
        if (corruption, severity) not in CORRUPTED:
            make(self, corruption, severity)
            CORRUPTED[corruption, severity] = (self.images, self.labels)
        images, labels = CORRUPTED[corruption, severity]
        self.images, self.labels = images.clone(), labels.clone()

    patch.setattr(digits.CorruptedDigits, "__init__", copy)


def build_shapes_once(patch: pytest.MonkeyPatch) -> None:
    """The models without content, of which a run's memory is estimated, are built once for the same sections.

    Parts of a test's own are left alone: another test may have written others to the same place.
    """
    shapes = sys.modules.get("dusa_ignite.runs.assemble_shapes")
    if shapes is None:
        return
    for name in ("classifier_of", "guide_of"):
        patch.setattr(shapes, name, _once(name, getattr(shapes, name)))


def _once(name: str, build: Callable[..., Any]) -> Callable[..., Any]:
    def built(config: Any, *, shapes_only: bool) -> Any:
        whole = ("problem", "classifier", "transformer", "vae", "path", "unet", "run")
        read = {"method": {"name", "window"}, **dict.fromkeys(whole, True)}
        key = name + config.model_dump_json(include=read)
        if ".py:" in key:
            return build(config, shapes_only=shapes_only)
        if key not in SHAPES:
            SHAPES[key] = build(config, shapes_only=shapes_only)
        return SHAPES[key]

    return built


def leave_out_rendering(patch: pytest.MonkeyPatch) -> None:
    """Figures are put together, but their file is a picture of one pixel."""
    figure = sys.modules.get("matplotlib.figure")
    if figure is not None:
        patch.setattr(figure.Figure, "savefig", lambda self, path, **options: Path(path).write_bytes(PIXEL))


def leave_out_passes(patch: pytest.MonkeyPatch) -> None:
    """The estimate of a run's memory counts weights; not what passes take: half of a tiny run's time."""
    activations = sys.modules.get("dusa_ignite.runs.activations")
    if activations is not None:
        patch.setattr(activations, "_measured", lambda measure, model, unknown: activations.Usage())
