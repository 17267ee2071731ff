"""The extra that this room needs: transformers, for segmenters and for the prompts' text encoder."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from dusa_ignite.errors import UserError
from dusa_ignite.utils.quiet import quiet


def transformers_for(what: str) -> ModuleType:
    """The module ``transformers``.

    Args:
        what: needs it; for the error message.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError(f"{what} needs transformers, which is not installed (pip install 'dusa_ignite[segmentation]')")
    with quiet():
        import transformers  # takes seconds
    return transformers


@contextmanager
def loading(transformers: ModuleType) -> Iterator[None]:
    """Neither transformers' warnings nor its progress bars."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with quiet():
            yield
    finally:
        if shown:
            bars.enable_progress_bar()
