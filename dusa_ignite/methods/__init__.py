"""Adaptation methods, a file each. A further one: its file, and its class in ``METHODS``."""

from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.source import Source
from dusa_ignite.methods.tent import Tent

METHODS: tuple[type[Method], ...] = (
    Dusa,
    Source,
    Tent,
)

__all__ = ["METHODS", "Method", "Step"]
