"""Fetching weights without the libraries' own commentary."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("huggingface_hub", "timm", "diffusers", "transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines of the libraries that fetch weights.

    Offline they tell of every attempt; what it comes to, the caller says in one line.

    Example:
        >>> with quiet():
        ...     path = hf_hub_download(repo, filename)
    """
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)  # their sub-modules' loggers have no level of their own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
