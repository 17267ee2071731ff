"""The sections about what a run leaves behind, besides its results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dusa_ignite.config.types import Number, Section, read_list


def _off(value: Any) -> Any:
    """YAML 1.1 reads a plain ``off`` as false."""
    return "off" if value is False else value


Mode = Annotated[Literal["online", "offline", "off"], BeforeValidator(_off)]
Tags = Annotated[tuple[str, ...], BeforeValidator(read_list)]


class Checkpoint(Section):
    """When a run is saved, besides after every task and on SIGTERM or SIGINT."""

    every_minutes: Number | None = Field(
        default=15.0, gt=0, description="between saves within a task, > 0; null = never"
    )
    every_updates: int | None = Field(default=None, ge=1, description="likewise, in updates, >= 1; null = never")
    keep: int = Field(default=1, ge=1, description="how many of the newest are kept, >= 1")
    background: bool | None = Field(
        default=None,
        description="write while updates go on, from a copy in host memory; null = if the models are on a GPU",
    )


class ClearML(Section):
    """A task on a ClearML server."""

    project: str = Field(default="dusa_ignite", min_length=3, description="made if missing, 3 characters or more")
    task: str | None = Field(default=None, min_length=3, description="its name, 3 characters or more; null = the run's")
    tags: Tags = Field(default=(), description="to find it by")
    mode: Mode = Field(
        default="online", description="online = needs a server; offline = written into the run's folder; off"
    )


class Tracking(Section):
    """Where a run can be watched, besides its own folder."""

    clearml: ClearML | None = Field(default=None, description="null = off")
    tensorboard: bool = Field(default=False, description="write event files for TensorBoard into the run's folder")
