"""What a file is, by its first bytes and the names in its archive, never by its suffix alone."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from dusa_ignite.utils.memory import free_memory, readable

STATE_DICT = "give a file written by torch.save(model.state_dict(), FILE) or by safetensors"
DAMAGED = "damaged, or not a checkpoint; fetch it again, or give another file"
LARGE = 2**28  # bytes: below, what an archive unpacks to does not matter
RATIO = 10  # unpacked / packed: torch.save does not compress

FOREIGN = (  # first bytes, what it is, what to do
    (b"version https://git-lfs", "a pointer of git-lfs, not the weights", "run `git lfs pull` where it was cloned"),
    (b"GGUF", "a GGUF file, quantised for llama.cpp", f"fetch the original weights, and {STATE_DICT}"),
    (b"\x89HDF\r\n", "an HDF5 file, of Keras or TensorFlow", f"convert it to PyTorch, and {STATE_DICT}"),
    (b"\x1f\x8b", "packed by gzip", "unpack it and give the file inside"),
    (b"BZh", "packed by bzip2", "unpack it and give the file inside"),
    (b"\xfd7zXZ", "packed by xz", "unpack it and give the file inside"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it and give the file inside"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and give the file inside"),
    (b"Rar!", "a rar archive", "unpack it and give the file inside"),
    (b"\x93NUMPY", "a NumPy array", f"load it with numpy, and {STATE_DICT}"),
)
SUFFIXES = {
    ".onnx": ("an ONNX graph", f"where it was exported, {STATE_DICT}"),
    ".pb": ("a TensorFlow graph", f"convert it to PyTorch, and {STATE_DICT}"),
    ".tflite": ("a TensorFlow Lite model", f"convert it to PyTorch, and {STATE_DICT}"),
    ".msgpack": ("a Flax checkpoint", f"convert it to PyTorch, and {STATE_DICT}"),
    ".index": ("a part of a TensorFlow checkpoint", f"convert it to PyTorch, and {STATE_DICT}"),
}


def kind_of(path: Path) -> tuple[str, str | None]:
    """Which reader a file needs, or why there is none.

    Args:
        path: of a file.

    Returns:
        ``safetensors``, ``torch`` (also for what nobody knows: torch will say), or ``foreign``; and with ``foreign``
        what the file is and what to do, else ``None``.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if size == 0:
        return "foreign", "an empty file; fetch it again"
    for start, what, action in FOREIGN:
        if head.startswith(start):
            return "foreign", f"{what}; {action}"
    if re.match(rb"\s*<(!doctype|html|\?xml|head|body)", head, re.IGNORECASE):
        return "foreign", "a web page, not weights: an error page, or a link to log in; open the link in a browser"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32:
        return "safetensors", None
    if head[257:262] == b"ustar":
        return "foreign", "a tar archive; unpack it and give the file inside"
    if head[4:8] == b"TFL3":
        return _by_suffix(".tflite")
    if head.startswith(b"PK"):
        return _archive(path, size)
    if _looks_like_onnx(head):
        return _by_suffix(".onnx")
    if path.suffix.lower() in SUFFIXES:
        return _by_suffix(path.suffix.lower())
    if re.match(rb"\s*[{\[]\s*[\"{\[\d]", head) and b"\x00" not in head:
        return "foreign", f"a text file (JSON), not weights; {STATE_DICT}"
    return "torch", None


def _by_suffix(suffix: str) -> tuple[str, str]:
    what, action = SUFFIXES[suffix]
    return "foreign", f"{what}; {action}"


def _looks_like_onnx(head: bytes) -> bool:
    """A protobuf that begins with ir_version (a small number), then the producer's name."""
    return len(head) > 5 and head[0] == 8 and 0 < head[1] < 32 and head[2] == 0x12 and head[4 : 4 + head[3]].isascii()


def _archive(path: Path, size: int) -> tuple[str, str | None]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception:  # a zip directory that is cut off or overwritten fails in many ways
        return "foreign", f"{DAMAGED} (the directory at its end is cut off or damaged)"
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > LARGE and unpacked > RATIO * size:
        return "foreign", f"{readable(size)} that unpack to {readable(unpacked)}: no checkpoint does that; not unpacked"
    free = free_memory()
    if free is not None and unpacked > free:
        return "foreign", f"not enough memory: it takes {readable(unpacked)}, {readable(free)} are free; not read"
    names = [entry.filename for entry in entries]
    inner = {name.split("/", 1)[-1] for name in names}
    if any(part.startswith("code/") for part in inner) or "constants.pkl" in inner:
        return (
            "foreign",
            "a TorchScript archive, which holds code; save torch.jit.load(FILE).state_dict() with torch.save where you "
            "trust it, and give that file",
        )
    if _is_exported(names, inner):
        return (
            "foreign",
            "an exported program (.pt2); save torch.export.load(FILE).state_dict with torch.save where you trust it, "
            "and give that file",
        )
    if "data.pkl" in inner:
        return "torch", None
    if any(re.search(r"(^|/)\.data/", name) for name in names):
        return "foreign", f"a torch.package archive, which holds code; {STATE_DICT}"
    if names and all(name.endswith(".npy") for name in names):
        return "foreign", f"a NumPy archive (.npz), of JAX perhaps; convert it to PyTorch, and {STATE_DICT}"
    if any(name.endswith(".h5") for name in names):
        return "foreign", f"a Keras model; convert it to PyTorch, and {STATE_DICT}"
    return "foreign", "a zip archive; unpack it and give the file inside"


def _is_exported(names: list[str], inner: set[str]) -> bool:
    marks = ("archive_format", "serialized_exported_program.json", "serialized_state_dict.json")
    return any(mark in names or mark in inner for mark in marks) or any(
        re.search(r"(^|/)models/[^/]+\.json$", name) for name in names
    )
