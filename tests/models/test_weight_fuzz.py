"""Whatever a weights file holds, the outcome is weights or one line, and nothing in it is run."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.inspect_weights import inspect_weights
from dusa_ignite.models.weights import load_strict, load_weights

TRIES = int(os.environ.get("WEIGHT_FUZZ_TRIES", "120"))  # of each kind; a try takes a few milliseconds


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


TRAINING = {"state_dict": model().state_dict(), "epoch": 3, "metric": np.float64(2.0), "args": {"lr": [0.1, None]}}
FILES = {
    "zip": saved(TRAINING),
    "old": saved(TRAINING, _use_new_zipfile_serialization=False),
    "safetensors": save(model().state_dict()),
    "pickle": pickle.dumps({"weight": [1, 2.0, "text", None]}, protocol=2),
}


def attempt(path: Path) -> str:
    """``loaded``, or the one line that says why not; anything else is raised."""
    target = model()
    try:
        load_strict(target, load_weights(path, key="k", wanted=target.state_dict()), source=f"k: {path}")
    except CheckpointError as error:
        line = str(error)
        assert "\n" not in line
        assert line.startswith(f"k: {path}")
        return line
    assert all(torch.isfinite(value).all() for value in target.state_dict().values())
    return "loaded"


def inspected(path: Path) -> None:
    line = ""
    try:
        inspect_weights(path)
    except CheckpointError as error:
        line = str(error)
    assert "\n" not in line


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(data)) for _ in range(2))
    return rng.choice([data[:end], data[:start] + data[end:], data + data[start:end], data[start:]])


def with_other_pickle(data: bytes, rng: random.Random) -> bytes:
    """The archive with a damaged list of tensors, its checksums right: what a careful attacker would write."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            inner = source.read(entry)
            target.writestr(entry.filename, flipped(inner, rng) if entry.filename.endswith("data.pkl") else inner)
    return stream.getvalue()


CHANGES: dict[str, tuple[str, Callable[[bytes, random.Random], bytes]]] = {
    **{f"{kind}, bytes changed": (kind, flipped) for kind in FILES},
    **{f"{kind}, cut": (kind, cut) for kind in FILES},
    "zip, another pickle": ("zip", with_other_pickle),
}


@pytest.mark.parametrize("name", CHANGES)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    kind, change = CHANGES[name]
    rng = random.Random(name)
    for number in range(TRIES):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(change(FILES[kind], rng))
        attempt(path)
        inspected(path)
        path.unlink()


def some_value(rng: random.Random, depth: int) -> Any:
    """Values as they might stand in a checkpoint, and as they should not."""
    if depth and rng.random() < 0.6:
        kinds: list[Callable[[], Any]] = [
            lambda: {some_name(rng): some_value(rng, depth - 1) for _ in range(rng.randrange(4))},
            lambda: [some_value(rng, depth - 1) for _ in range(rng.randrange(4))],
            lambda: tuple(some_value(rng, depth - 1) for _ in range(rng.randrange(3))),
        ]
        return rng.choice(kinds)()
    names = list(model().state_dict())
    values: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.randrange(-(10**9), 10**9),
        lambda: rng.random(),
        lambda: "text\n" * 2,
        lambda: np.float32(1.5),
        lambda: np.zeros(2),
        lambda: Path("somewhere"),
        lambda: torch.zeros(rng.randrange(3), 2),
        lambda: torch.tensor(float("nan")),
        lambda: torch.zeros(1).expand(10**7, 10**5),
        lambda: model().state_dict(),
        lambda: dict.fromkeys(names, torch.zeros(())),
        lambda: {f"module.{name}": value for name, value in model().state_dict().items()},
    ]
    return rng.choice(values)()


def some_name(rng: random.Random) -> Any:
    names = ["ema", "model", "state_dict", "module.", "0.weight", "a\nb", "", 3, (1, 2), None, "optimizer", "x" * 500]
    return rng.choice(names)


def test_random_content(tmp_path: Path) -> None:
    rng, outcomes = random.Random(7), set()
    for number in range(3 * TRIES):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(saved(some_value(rng, 3), _use_new_zipfile_serialization=rng.random() < 0.7))
        outcomes.add(attempt(path).split(": ")[-1][:20])
        inspected(path)
        path.unlink()
    assert "loaded" in outcomes
    assert len(outcomes) > 4


# Small files that ask for much


def with_pickle(content: bytes) -> bytes:
    """torch's archive with this list of tensors."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(FILES["zip"])) as source, zipfile.ZipFile(stream, "w") as target:
        for entry in source.infolist():
            target.writestr(entry.filename, content if entry.filename.endswith("data.pkl") else source.read(entry))
    return stream.getvalue()


def shared_mappings() -> bytes:
    """8 ** 19 paths through twenty mappings."""
    text = b"\x80\x02}q\x00"
    for level in range(1, 20):
        entries = (b"X\x01\x00\x00\x00" + bytes([letter]) + b"h" + bytes([level - 1]) + b"s" for letter in b"abcdefgh")
        text += b"}q" + bytes([level]) + b"".join(entries)
    return text + b"."


NOTHING = "holds no mapping of parameter names to tensors"
MUCH = {
    "a long bytearray": (
        with_pickle(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (10**12).to_bytes(6, "little") + b"\x85R."),
        "holds Python objects other than tensors (bytearray); save its state_dict alone and give that file",
    ),
    "deep lists": (with_pickle(b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."), NOTHING),
    "deep mappings": (
        with_pickle(b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 10**5 + b"}" + b"s" * 10**5 + b"."),
        NOTHING,
    ),
    "shared mappings": (with_pickle(shared_mappings()), NOTHING),
}


@pytest.mark.parametrize("name", MUCH)
def test_small_files_that_ask_for_much(name: str, tmp_path: Path) -> None:
    content, line = MUCH[name]
    (tmp_path / "a.pt").write_bytes(content)
    assert attempt(tmp_path / "a.pt") == f"k: {tmp_path}/a.pt: {line}"


# Nothing is run


class Runs:
    """Unpickled by a trusting loader, it calls a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


def calls(trace: Path) -> dict[str, Runs]:
    """Each leaves a file behind if it runs."""
    return {
        "system": Runs(os.system, f"touch {trace}"),
        "eval": Runs(eval, f"open({str(trace)!r}, 'w').close()"),
        "exec": Runs(exec, f"open({str(trace)!r}, 'w').close()"),
        "touch": Runs(Path.touch, trace),
        "mkdir": Runs(os.mkdir, str(trace)),
        "memmap": Runs(np.memmap, str(trace), "uint8", "w+", 0, (4,)),
        "from_file": Runs(torch.from_file, str(trace), True, 4),
    }


WRAPPERS: dict[str, Callable[[Any], bytes]] = {
    "torch": saved,
    "old torch": lambda content: saved(content, _use_new_zipfile_serialization=False),
    "pickle": lambda content: pickle.dumps(content, protocol=2),
    "new pickle": lambda content: pickle.dumps(content, protocol=4),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("call", calls(Path()))
def test_pickles_that_would_run_something(call: str, wrapper: str, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    contents = [
        calls(trace)[call],
        {"state_dict": model().state_dict(), "args": calls(trace)[call]},
        {"state_dict": {**model().state_dict(), "0.weight": calls(trace)[call]}},
    ]
    for number, content in enumerate(contents):
        for suffix in ("pt", "safetensors", "bin"):
            path = tmp_path / f"{number}.{suffix}"
            path.write_bytes(WRAPPERS[wrapper](content))
            assert attempt(path) != "loaded"
            inspected(path)
            assert not trace.exists()
    pickle.loads(pickle.dumps(calls(trace)[call]))
    assert trace.exists()  # it would have been


def test_numpys_own_readers_are_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They trust their input: an array of objects may hold any address."""
    path = tmp_path / "weights.pt"
    path.write_bytes(saved({"model": model().state_dict(), "rng": np.zeros(3), "best": np.float64(1.0)}))
    with pytest.raises(pickle.UnpicklingError, match="numpy"):
        torch.load(path, weights_only=True)  # torch alone refuses them
    assert attempt(path) == "loaded"
