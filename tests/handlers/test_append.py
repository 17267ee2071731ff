"""Files that grow with a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from dusa_ignite.errors import CheckpointError
from dusa_ignite.handlers.append import AppendedFile


def test_what_came_after_the_state_is_cut_off(tmp_path: Path) -> None:
    file = AppendedFile(tmp_path / "log.csv")
    assert file.state_dict() == {"bytes": 0}  # there is none yet
    file.append("a\n")
    file.append("ä\n")
    state = file.state_dict()
    assert state == {"bytes": 5}
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


def test_the_first_process_alone_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    file = AppendedFile(tmp_path / "log.csv")
    file.append("a\n")
    file.load_state_dict({"bytes": 3})  # no error either: it may not even see the file
    assert not (tmp_path / "log.csv").exists()
