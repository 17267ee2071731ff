"""The config's section about where a run can be watched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dusa_ignite.utils.section import Section, Texts


class ClearMLOptions(Section):
    """A task on a ClearML server."""

    project: str = Field(default="dusa_ignite", min_length=3, description="made if missing, 3 characters or more")
    task: str | None = Field(default=None, min_length=3, description="its name, 3 characters or more; null = the run's")
    tags: Texts = Field(default=(), description="to find it by")
    mode: Literal["online", "offline", "off"] = Field(
        default="online", description="online = needs a server; offline = written into the run's folder; off"
    )


class TrackingOptions(Section):
    """Where a run can be watched, besides its own folder."""

    clearml: ClearMLOptions | None = Field(default=None, description="null = off")
    tensorboard: bool = Field(default=False, description="write event files for TensorBoard into the run's folder")
