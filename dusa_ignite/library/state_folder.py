"""An adapter's state in a folder, and whether a state is this adapter's."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.handlers.atomic_saver import reason_of
from dusa_ignite.utils.durable import sync_folder, write_text
from dusa_ignite.utils.format import FORMAT_VERSION
from dusa_ignite.utils.memory import is_out_of_memory

STATE, CONFIG = "adapter.pt", "config.yaml"


def write_state(folder: Path, state: Mapping[str, Any], config: str | None) -> None:
    """Write the config for whoever loads it, then the state; each file is there whole, or as it was.

    Args:
        folder: made if missing; an older state in it is replaced.
        state: tensors and plain values.
        config: as YAML; ``None`` = there is none, and one that lies there is removed.

    Raises:
        CheckpointError: it cannot be written (disk full, no permission).
    """
    part = folder / f"{STATE}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if config is None:
            (folder / CONFIG).unlink(missing_ok=True)
        else:
            write_text(folder / CONFIG, config)
        with part.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / STATE)
        sync_folder(folder)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise CheckpointError(f"{folder}: the adapter's state is not saved ({reason_of(error)})") from error


def read_state(folder: Path) -> dict[str, Any]:
    """The state in a folder, every byte checked, on the CPU.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = folder / STATE
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is None:
            return torch.load(path, map_location="cpu", weights_only=True)
        reason = f"damaged at {broken}"
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file; adapter.save makes it") from None
    except Exception as error:  # zipfile, pickle and torch raise many kinds for damaged files
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            raise
        reason = reason_of(error)
    raise CheckpointError(f"{path}: cannot be read ({reason}); take an older copy, or start afresh")


def check_state(state: Any, made_of: Mapping[str, Any]) -> None:
    """Is it the state of an adapter that was made of the same things?

    Args:
        state: as :meth:`dusa_ignite.Adapter.state_dict` returns it.
        made_of: the options and the weights' hashes of this adapter, as plain values.

    Raises:
        CheckpointError: it has another format, or was made of something else; the first difference is named.
    """
    if not isinstance(state, Mapping) or "made_of" not in state:
        raise CheckpointError("adapter: this is not the state of an adapter")
    found = state.get("format_version")
    if found != FORMAT_VERSION:
        raise CheckpointError(
            f"adapter: the state has format {found}, this version of dusa_ignite reads {FORMAT_VERSION}; install the "
            "version that wrote it, or start afresh"
        )
    mine, others = dict(_flat(made_of)), dict(_flat(state["made_of"]))
    for key in [*mine, *others]:
        if mine.get(key) != others.get(key):
            raise CheckpointError(
                f"adapter: {key} is {_shown(mine, key)}, but the state was saved with {_shown(others, key)}; make the "
                "adapter of the same options and weights, or start afresh"
            )


def _flat(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _shown(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key, "nothing")
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else f"{value}"  # a SHA-256
