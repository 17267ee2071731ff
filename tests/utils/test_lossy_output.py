"""A run's own view of standard output and error: they take everything."""

from __future__ import annotations

import io
import os
import sys

import pytest

from dusa_ignite.utils.console import outlive_the_console


def stream(descriptor: int, *, buffered: bool = True, encoding: str = "utf-8") -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w")
    if buffered:
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding)
    return io.TextIOWrapper(raw, encoding=encoding, write_through=True)  # type: ignore[type-var]  # PYTHONUNBUFFERED


@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_and_a_reader_who_left(monkeypatch: pytest.MonkeyPatch, buffered: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, "stdout", stream(writing, buffered=buffered))
    monkeypatch.setattr(sys, "stderr", stream(os.open("/dev/full", os.O_WRONLY), buffered=buffered))
    outlive_the_console()
    for _ in range(3):
        print("a line", flush=True)
        print("x" * 100_000, file=sys.stderr, flush=True)


@pytest.mark.parametrize("buffered", [True, False])
def test_characters_and_the_order_of_lines(monkeypatch: pytest.MonkeyPatch, buffered: bool) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stdout", stream(writing, buffered=buffered, encoding="ascii"))
    print("before")
    for _ in range(3):  # a run begins its log more than once
        outlive_the_console()
        print("± → größe", flush=True)
    assert sys.stdout.fileno() == writing
    assert not sys.stdout.isatty()
    assert os.read(reading, 1000).decode() == "before\n" + "\\xb1 \\u2192 gr\\xf6\\xdfe\n" * 3
    os.close(reading)


def test_closed_and_foreign_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", notebook)
    outlive_the_console()
    print("a line", flush=True)
    assert sys.stderr is notebook
