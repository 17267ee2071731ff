"""Where the files of a tar lie in it: found once, kept on disk, and used to read any file by itself."""

from __future__ import annotations

import hashlib
import logging
import os
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from tqdm import tqdm

from dusa_ignite.errors import DataError

logger = logging.getLogger(__name__)

SUFFIX = ".index.npz"
FORMAT = 1  # of the kept index; another one's is made again
LARGE = 2**30  # bytes; of smaller tars nothing is said
BLOCK = 512  # bytes; a tar consists of blocks, and two of zeros end it
COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "unxz", b"\x28\xb5": "unzstd"}  # by the first bytes


class TarIndex(NamedTuple):
    """The regular files of a tar, in its order.

    Attributes:
        path: of the tar.
        names: of its files, without a leading ``./``.
        offsets: (N,) int64, bytes from the tar's beginning to each file's content.
        sizes: (N,) int64, bytes.
    """

    path: Path
    names: list[str]
    offsets: np.ndarray
    sizes: np.ndarray


class TarReader:
    """Reads pieces of one tar, from several threads or forked processes at once.

    Raises:
        DataError: the tar cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{path}: cannot be opened ({error.strerror})") from error

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, name: str, *, offset: int, size: int) -> bytes:
        """The content of the file ``name``, see :class:`TarIndex`.

        Raises:
            DataError: the tar ends within it, or cannot be read.
        """
        try:
            content = os.pread(self._descriptor, size, offset)  # no position that others could move
        except OSError as error:
            raise DataError(f"{self.path}: {name}: cannot be read ({error.strerror})") from error
        if len(content) < size:
            raise DataError(f"{self.path}: is truncated, it ends within {name}; fetch it again")
        return content


def tar_index(path: Path) -> TarIndex:
    """The index of a tar: the one that was kept, if the tar's size and time are still those, else a new one.

    It is kept beside the tar, or where that folder cannot be written to, in the user's cache folder
    (``$XDG_CACHE_HOME``, else ``~/.cache``). While it is made, a bar on standard error shows how far it is.

    Raises:
        DataError: the tar is missing, truncated, compressed or no tar.
    """
    try:
        status = path.stat()
        with path.open("rb") as file:
            start, end = file.read(BLOCK), _last_bytes(file, 2 * BLOCK)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    stamp = np.array([FORMAT, status.st_size, status.st_mtime_ns])
    for place in index_places(path):
        kept = _kept(place, stamp)
        if kept is not None:
            return TarIndex(path, *kept)
    _check_ends(path, start, end)
    found = list(_members(path, status.st_size))
    index = TarIndex(
        path,
        [name for name, _, _ in found],
        np.array([offset for _, offset, _ in found], dtype=np.int64),
        np.array([size for _, _, size in found], dtype=np.int64),
    )
    _keep(index, stamp)
    return index


def index_places(path: Path) -> list[Path]:
    """Where the index of a tar may be kept, the preferred place first."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dusa_ignite"
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    return [path.with_name(f".{path.name}{SUFFIX}"), cache / f"{path.name}.{key}{SUFFIX}"]


def _last_bytes(file: IO[bytes], count: int) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - count))
    return file.read()


def _check_ends(path: Path, start: bytes, end: bytes) -> None:
    """Tell a tar that is compressed, none, or cut off, before all of its headers are read."""
    for magic, command in COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(f"{path}: is compressed, so that no image can be read by itself; unpack it once: {command}")
    if not start:
        raise DataError(f"{path}: is empty; fetch it again")
    if end.strip(b"\0") or len(end) < 2 * BLOCK:
        raise DataError(f"{path}: is truncated or no tar (it does not end as a tar does); fetch it again")


def _members(path: Path, total: int) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each regular file; hidden ones (``.name``) are left out."""
    if total >= LARGE:
        logger.info("%s: reading its table of contents, once", path)
    try:
        with (
            path.open("rb") as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
            tqdm(total=total, desc=path.name, unit="B", unit_scale=True, disable=None, leave=False) as bar,
        ):
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else all of them are kept
                bar.update(member.offset_data + member.size - bar.n)
                name = member.name.removeprefix("./")
                if member.isdir() or name.rpartition("/")[2].startswith("."):
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(f"{path}: {name}: is a link or no plain file; pack the files themselves")
                yield name, member.offset_data, member.size
            file.seek(tar.offset)
            if file.read(BLOCK).strip(b"\0"):
                raise DataError(f"{path}: is damaged at byte {tar.offset:,}; fetch it again")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path}: is truncated, damaged or no tar ({error}); fetch it again") from error


def _kept(place: Path, stamp: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray] | None:
    """Names, offsets and sizes of a kept index that fits; ``None`` where there is none."""
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if not np.array_equal(kept["stamp"], stamp):
                return None
            text = kept["names"].tobytes()
            names = [os.fsdecode(name) for name in text.split(b"\0")] if text else []
            return (names, kept["offsets"], kept["sizes"]) if len(names) == len(kept["offsets"]) else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # missing or damaged: it is made again


def _keep(index: TarIndex, stamp: np.ndarray) -> None:
    names = np.frombuffer(b"\0".join(map(os.fsencode, index.names)), dtype=np.uint8)
    for place in index_places(index.path):
        part = place.with_name(f"{place.name}.{os.getpid()}.part")  # several processes may do the same
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez_compressed(file, stamp=stamp, names=names, offsets=index.offsets, sizes=index.sizes)
            os.replace(part, place)
            return
        except OSError:
            with suppress(OSError):
                part.unlink()
    logger.warning("%s: its table of contents could be kept nowhere, so it is read in every run", index.path)


def images_of(names: Sequence[str], extensions: frozenset[str]) -> list[int]:
    """Positions of the names that are those of images."""
    return [number for number, name in enumerate(names) if os.path.splitext(name)[1].lower() in extensions]
