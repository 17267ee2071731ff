"""Files that grow with a run."""

from __future__ import annotations

import errno
import io
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from dusa_ignite.errors import CheckpointError
from dusa_ignite.handlers.append import AppendedFile


def test_what_came_after_the_state_is_cut_off(tmp_path: Path) -> None:
    file = AppendedFile(tmp_path / "log.csv")
    assert file.state_dict() == {"bytes": 0, "unwritten": ""}  # there is none yet
    file.append("a\n")
    file.append("ä\n")
    state = file.state_dict()
    assert state == {"bytes": 5, "unwritten": ""}
    file.append("lost\n")
    AppendedFile(tmp_path / "log.csv").load_state_dict(state)
    file.append("c\n")
    assert (tmp_path / "log.csv").read_bytes() == "a\nä\nc\n".encode()


def test_an_empty_state_empties_the_file(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("old\n")
    AppendedFile(tmp_path / "log.csv").load_state_dict({"bytes": 0})
    assert (tmp_path / "log.csv").read_text() == ""


@pytest.mark.parametrize("content", ["ab", None])
def test_a_file_that_has_lost_lines(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError) as caught:
        AppendedFile(path).load_state_dict({"bytes": 3})
    assert str(caught.value) == f"{path}: has lost lines since the checkpoint; start again with --overwrite"


class FullDisk(io.FileIO):
    """Takes so many more bytes, then none, as a disk that fills up."""

    room = 0

    def write(self, data: Any) -> int:
        if len(data) and not FullDisk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        FullDisk.room -= (count := min(len(data), FullDisk.room))
        return super().write(bytes(data[:count]))


def test_what_a_full_disk_does_not_take_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("dusa_ignite.handlers.append")
    monkeypatch.setattr(log, "propagate", False)
    log.addHandler(caplog.handler)
    path = tmp_path / "log.csv"
    file = AppendedFile(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode, buffering=-1: FullDisk(self, mode.replace("b", "")))
        FullDisk.room = 3
        file.append("a\n")
        for text in ("bcd\n", "ä\n"):
            file.append(text)
        state = file.state_dict()
        with pytest.raises(OSError, match="No space left on device"):
            file.flush()
    log.removeHandler(caplog.handler)
    assert path.read_text() == "a\nb"
    assert state == {"bytes": 3, "unwritten": "cd\nä\n"}
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: not written for now, the run goes on: No space left on device"
    ]
    file.append("e\n")
    assert path.read_text() == "a\nbcd\nä\ne\n"
    assert file.state_dict() == {"bytes": 11, "unwritten": ""}
    resumed = AppendedFile(path)
    resumed.load_state_dict(state)
    resumed.append("f\n")
    assert path.read_text() == "a\nbcd\nä\nf\n"


@pytest.mark.parametrize(("rank", "synced"), [(0, ["log.csv", "folder"]), (1, [])])
def test_the_first_process_has_the_lines_of_a_state_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int, synced: list[str]
) -> None:
    path = tmp_path / "folder" / "log.csv"
    path.parent.mkdir()
    path.write_text("a\n")
    found: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: found.append(Path(f"/proc/self/fd/{file}").resolve().name))
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: rank)
    assert AppendedFile(path).state_dict()["bytes"] == 2
    assert found == synced


def test_the_first_process_alone_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    file = AppendedFile(tmp_path / "log.csv")
    file.append("a\n")
    file.load_state_dict({"bytes": 3})  # no error either: it may not even see the file
    assert not (tmp_path / "log.csv").exists()
