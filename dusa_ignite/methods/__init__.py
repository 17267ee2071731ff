"""Adaptation methods: each a factory that returns ``update(engine, batch) -> output``."""

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine

from dusa_ignite.methods.dusa import dusa
from dusa_ignite.methods.source import source

Update = Callable[[Engine, dict[str, Any]], dict[str, Any]]

METHODS: dict[str, Callable[..., Update]] = {"source": source, "dusa": dusa}

__all__ = ["METHODS", "Update", "dusa", "source"]
