"""The package inside somebody else's program: images in, predictions out, and adaptation meanwhile."""

from dusa_ignite.library.adapter import Adapter

__all__ = ["Adapter"]
