"""The sections about what a run leaves behind, besides its results."""

from __future__ import annotations

from pydantic import Field

from dusa_ignite.config.types import Number, Section


class Checkpoint(Section):
    """When a run is saved, besides after every task and on SIGTERM or SIGINT."""

    every_minutes: Number | None = Field(
        default=15.0, gt=0, description="between saves within a task, > 0; null = never"
    )
    every_updates: int | None = Field(default=None, ge=1, description="likewise, in updates, >= 1; null = never")
    keep: int = Field(default=1, ge=1, description="how many of the newest are kept, >= 1")
