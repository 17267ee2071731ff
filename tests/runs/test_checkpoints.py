"""Checkpoint files: whole or not there, the newest undamaged one found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dusa_ignite.errors import CheckpointError
from dusa_ignite.handlers import atomic_saver
from dusa_ignite.handlers.atomic_saver import AtomicSaver, saved
from dusa_ignite.runs import checkpoints
from dusa_ignite.runs.checkpoints import find_newest, load, load_newest
from dusa_ignite.utils.format import FORMAT_VERSION


def test_a_full_disk_is_warned_of_and_the_old_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saver = AtomicSaver(tmp_path, keep=1)
    saver({"number": 1}, "checkpoint_1.pt")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic_saver.os, "fsync", full)
        caplog.set_level("WARNING", logger="dusa_ignite")
        atomic_saver.logger.propagate = True
        patch.setattr(atomic_saver.logger.parent, "propagate", True)
        saver({"number": 2}, "checkpoint_2.pt")
    assert "No space left on device" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_1.pt"]
    assert load_newest(tmp_path) == {"number": 1}
    saver({"number": 3}, "checkpoint_3.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_3.pt"]


@pytest.mark.parametrize("background", [True, False])
def test_a_full_disk_is_named_and_the_newest_checkpoint_on_disk_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, background: bool
) -> None:
    monkeypatch.setattr(atomic_saver.logger, "propagate", False)
    atomic_saver.logger.addHandler(caplog.handler)
    folder = tmp_path / "checkpoints"
    with AtomicSaver(folder, keep=1, background=background) as saver:
        assert saver.newest() is None
        saver({"weight": torch.zeros(100_000)}, "checkpoint_1.pt")
        assert saver.newest() == "checkpoint_1.pt"
        (folder / "checkpoint_2.pt.part").symlink_to("/dev/full")  # it takes nothing
        with monkeypatch.context() as patch:
            patch.setattr(atomic_saver, "_remove", lambda path: None)
            saver({"weight": torch.zeros(100_000)}, "checkpoint_2.pt")
            assert saver.newest() == "checkpoint_1.pt"
        saver({"weight": torch.zeros(100_000)}, "checkpoint_3.pt")
        assert saver.newest() == "checkpoint_3.pt"
    atomic_saver.logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        f"checkpoint not written, the run goes on: {folder / 'checkpoint_2.pt'}: No space left on device"
    ]


def test_a_damaged_checkpoint_does_not_count_among_those_to_keep(tmp_path: Path) -> None:
    saver = AtomicSaver(tmp_path, keep=2)
    for number in (4, 6):
        saver({"number": number}, f"checkpoint_{number}.pt")
    (tmp_path / "checkpoint_6.pt").write_bytes(b"damaged")
    assert load_newest(tmp_path) == {"number": 4}
    assert [path.name for path in saved(tmp_path)] == ["checkpoint_6.pt", "checkpoint_4.pt"]  # looking changes nothing
    assert find_newest(tmp_path, set_aside=True) == (tmp_path / "checkpoint_4.pt", {"number": 4})
    AtomicSaver(tmp_path, keep=1)({"number": 5}, "checkpoint_5.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_5.pt", "checkpoint_6.pt.damaged"]
    assert load_newest(tmp_path) == {"number": 5}


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (
            OSError(5, "Input/output error"),
            CheckpointError,
            r"_2\.pt: cannot be read \(Input/output error\); mend that",
        ),
        (
            PermissionError(13, "Permission denied"),
            CheckpointError,
            r"_2\.pt: cannot be read \(Permission denied\); mend",
        ),
        (MemoryError("no memory"), MemoryError, "no memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), MemoryError, "DefaultCPUAllocator"),
    ],
)
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type[Exception], said: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise raised

    saver = AtomicSaver(tmp_path, keep=2)
    for number in (1, 2):
        saver({"number": number}, f"checkpoint_{number}.pt")
    with monkeypatch.context() as patch:
        if isinstance(raised, RuntimeError):
            patch.setattr(torch, "load", fail)
        else:
            patch.setattr(checkpoints.zipfile.ZipFile, "testzip", fail)
        with pytest.raises(kind, match=said):
            find_newest(tmp_path, set_aside=True)
    assert len(saved(tmp_path)) == 2


@pytest.mark.parametrize("mapped", [True, False])
def test_a_checked_checkpoint_is_loaded_again(tmp_path: Path, mapped: bool) -> None:
    AtomicSaver(tmp_path, keep=1)({"weight": torch.arange(3.0)}, "checkpoint_1.pt")
    assert load(tmp_path / "checkpoint_1.pt", mapped=mapped)["weight"].tolist() == [0, 1, 2]
    with pytest.raises(
        CheckpointError, match=r"cannot be read \(No such file or directory\); every process needs to see"
    ):
        load(tmp_path / "checkpoint_2.pt", mapped=mapped)


def test_in_the_background_later_changes_are_not_saved(tmp_path: Path) -> None:
    weight = torch.zeros(3)
    with AtomicSaver(tmp_path, keep=1, background=True) as saver:
        saver({"model": {"weight": weight}, "rows": [{"top1": 0.5}]}, "checkpoint_1.pt")
        weight += 1
    assert saved(tmp_path) == [tmp_path / "checkpoint_1.pt"]
    content = load_newest(tmp_path)
    assert content is not None
    assert content["model"]["weight"].tolist() == [0, 0, 0]
    assert content["rows"] == [{"top1": 0.5}]


def test_in_the_background_writes_come_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    original = torch.save

    def save(content: dict[str, int], file: object) -> None:
        original(content, file)
        written.append(content["number"])

    monkeypatch.setattr(torch, "save", save)
    with AtomicSaver(tmp_path, keep=2, background=True) as saver:
        for number in range(1, 6):
            saver({"number": number}, f"checkpoint_{number}.pt")
            assert written[: number - 1] == list(range(1, number))  # the one before is done
    assert [path.name for path in saved(tmp_path)] == ["checkpoint_5.pt", "checkpoint_4.pt"]


def test_in_the_background_a_defect_is_not_lost(tmp_path: Path) -> None:
    saver = AtomicSaver(tmp_path, keep=1, background=True)
    saver({"cannot be pickled": lambda: None}, "checkpoint_1.pt")
    with pytest.raises(Exception, match=r"pickle|local object"):  # which word depends on the version of Python
        saver.wait()


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_1.pt.part").write_bytes(b"half")
    AtomicSaver(tmp_path, keep=1)({"number": 2}, "checkpoint_2.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_2.pt"]


def test_only_tensors_and_plain_values_are_loaded(tmp_path: Path) -> None:
    torch.save({"path": Path("x")}, tmp_path / "checkpoint_1.pt")
    with pytest.raises(CheckpointError, match="every checkpoint is damaged"):
        load_newest(tmp_path)


@pytest.mark.parametrize("found", [1, FORMAT_VERSION + 1])
def test_another_format_is_refused_in_a_line(tmp_path: Path, found: int) -> None:
    AtomicSaver(tmp_path, keep=2)({"number": 1}, "checkpoint_1.pt")
    path = tmp_path / "checkpoint_2.pt"
    torch.save({"number": 2} if found == 1 else {"format_version": found, "number": 2}, path)  # 1 had no number
    said = (
        f"{path}: was written in format {found}, which another version of dusa_ignite reads; this one has format "
        f"{FORMAT_VERSION}: install that version, or start again with --overwrite"
    )
    for read in (lambda: load_newest(tmp_path), lambda: load(path)):
        with pytest.raises(CheckpointError) as caught:
            read()
        assert str(caught.value) == said
    assert len(saved(tmp_path)) == 2  # it is not damaged


def test_the_formats_number_stands_in_the_file_only(tmp_path: Path) -> None:
    AtomicSaver(tmp_path, keep=1)({"number": 1}, "checkpoint_1.pt")
    content = torch.load(tmp_path / "checkpoint_1.pt", weights_only=True)
    assert content == {"format_version": FORMAT_VERSION, "number": 1}
    assert load_newest(tmp_path) == load(tmp_path / "checkpoint_1.pt") == {"number": 1}
