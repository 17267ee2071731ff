"""The models for canvases that travel with the package; in a config their name is ``embedded``."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

EMBEDDED = "embedded"


def shipped_shapes(part: str) -> Path:
    """The folder of ``segmenter`` or ``guide``."""
    return Path(str(resources.files("dusa_ignite"))) / "assets" / "shapes" / part
