"""Calls that may fail without ending a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class Warned:
    """Calls a function; a failure is warned of when it comes after a success, and the run goes on.

    Args:
        function: reports something.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.failed = False

    def __call__(self, *args: Any) -> None:
        """Call it."""
        try:
            self.function(*args)
        except Exception as error:
            if not self.failed:
                logger.warning("tracking: report lost, the run goes on: %s: %s", type(error).__name__, error)
            self.failed = True
        else:
            self.failed = False
