"""A folder for the results of a pre-training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dusa_ignite.errors import ConfigError


def make_free(folder: Path, results: Sequence[str], *, overwrite: bool) -> None:
    """Make the folder; with ``overwrite`` remove the results of an earlier pre-training, and nothing else.

    Args:
        folder: made if missing.
        results: names of files and folders.
        overwrite: whether results that are there may go.

    Raises:
        ConfigError: it holds such results and ``overwrite`` is not given, or it cannot be written to.
    """
    found = [folder / name for name in results if (folder / name).exists()]
    if found and not overwrite:
        names = ", ".join(path.name for path in found)
        raise ConfigError(f"output_dir: {folder}: holds {names}; choose another, or give --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise ConfigError(f"output_dir: {folder}: cannot be written to ({error.strerror}); choose another") from error
