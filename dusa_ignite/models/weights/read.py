"""Reading what a weights file holds, without running anything that it brings along.

Pickles go through torch's ``weights_only`` reader. What training scripts commonly store beside the weights (NumPy
numbers, paths) is read by stand-ins of ours that keep plain numbers and nothing else: NumPy's own readers trust their
input, which may crash the process.
"""

from __future__ import annotations

import argparse
import mmap
import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.weights.kinds import DAMAGED, kind_of
from dusa_ignite.utils.memory import free_memory, is_out_of_memory, readable


class NumpyType:
    """Stands in for ``numpy.dtype``: keeps its code (``f8``)."""

    def __init__(self, code: Any = None, *others: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """The rest of a type is of no use here."""


class NumpyArray:
    """Stands in for ``numpy.ndarray``: nothing of it is kept."""

    def __init__(self, *content: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """The values are of no use here."""


def numpy_scalar(kind: Any, data: Any = None) -> Any:
    """The plain number that a pickled NumPy scalar stands for; ``None`` for text and other kinds."""
    codes = {"f8": "<d", "f4": "<f", "f2": "<e", "i8": "<q", "i4": "<i", "i2": "<h", "u1": "<B", "b1": "<?"}
    code = codes.get(str(getattr(kind, "code", None)))
    if code is None or not isinstance(data, bytes) or len(data) != struct.calcsize(code):
        return None
    return struct.unpack(code, data)[0]


def plain_path(*parts: Any) -> str:
    """The text of a pickled path; empty for one that no system would take."""
    known = all(isinstance(part, str) for part in parts) and sum(map(len, parts)) < 4096
    return "/".join(parts) if known else ""


BYTES = re.compile(rb"c(builtins|__builtin__)\nbytearray\n")
STAND_INS: list[Any] = [
    argparse.Namespace,
    (NumpyType, "numpy.dtype"),
    (NumpyArray, "numpy.ndarray"),
    *((numpy_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((NumpyArray, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((plain_path, f"pathlib.{name}") for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *((plain_path, f"pathlib._local.{name}") for name in ("PosixPath", "WindowsPath")),
]


def read_content(path: Path, *, where: str) -> Any:
    """What a file holds: for safetensors a mapping of names to tensors, for a pickle whatever was saved.

    Args:
        path: of the file.
        where: the config key and the name that the user gave, for error messages.

    Raises:
        CheckpointError: it cannot be read, is no checkpoint, or holds Python objects other than plain values.
    """
    try:
        kind, problem = kind_of(path)
        if problem is not None:
            raise CheckpointError(f"{where}: {problem}")
        _check_memory(path, where=where)
        return _read_safetensors(path) if kind == "safetensors" else _unpickle(path)
    except CheckpointError:
        raise
    except Exception as error:  # the unpickler answers garbage with errors of any kind: KeyError, struct.error, ...
        if is_out_of_memory(error):
            raise CheckpointError(f"{where}: {_too_little_memory(path)}") from error
        if isinstance(error, OSError):
            raise CheckpointError(f"{where}: cannot be read ({error.strerror or error})") from error
        raise CheckpointError(f"{where}: {_what_is_wrong(error, path)}") from error


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors; empty for other and for damaged files."""
    try:
        if kind_of(path)[0] != "safetensors":
            return {}
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception:  # safetensors has its own error, and the file may be anything
        return {}


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)


def _unpickle(path: Path) -> Any:
    if _asks_for_bytes(path):
        raise pickle.UnpicklingError("GLOBAL bytearray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols
        with torch.serialization.safe_globals(STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)


def _asks_for_bytes(path: Path) -> bool:
    """Whether a pickle makes a ``bytearray``: torch would let it, of any length, and no weights need one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return any(BYTES.search(archive.read(name)) for name in names)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return BYTES.search(content) is not None


def _check_memory(path: Path, *, where: str) -> None:
    free, size = free_memory(), path.stat().st_size
    if free is not None and size > free:
        raise CheckpointError(f"{where}: not enough memory: it takes {readable(size)}, {readable(free)} are free")


def _too_little_memory(path: Path) -> str:
    free = free_memory()
    spare = f", {readable(free)} are free" if free is not None else ""
    return (
        f"not enough memory to read it (the file has {readable(path.stat().st_size)}{spare}); end other programs, or "
        f"save its state dict alone and give that file"
    )


def _what_is_wrong(error: Exception, path: Path) -> str:
    """In our own words: torch's advise to read the file unsafely."""
    found = re.search(r"GLOBAL (?:builtins\.)?([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return f"holds Python objects other than tensors ({found[1]}); save its state_dict alone and give that file"
    if isinstance(error, pickle.UnpicklingError) and "operand" not in str(error):
        return "holds Python objects other than tensors; save its state_dict alone and give that file"
    return DAMAGED
