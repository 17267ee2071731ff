"""A function in several processes of one group, as those of a run are."""

from dusa_ignite.testing.processes import in_processes

__all__ = ["in_processes"]
