"""The config's section about running in several processes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dusa_ignite.utils.section import Section


class DistributedOptions(Section):
    """How several processes share the work; no effect on results. Without effect in a single process."""

    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp", description="ddp = every process holds both models; fsdp = the transformer is sharded over them"
    )
    timeout_minutes: float = Field(
        default=10.0, gt=0, le=100_000, description="a process that waits longer for others fails, > 0"
    )
