"""Tars: what lies where, the index that is kept, and tars that are cut off, damaged or packed another way."""

import logging
import os
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from dusa_ignite.data import tar_index as module
from dusa_ignite.data.tar_index import TarReader, index_places, tar_index
from dusa_ignite.errors import DataError

CONTENTS = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)) * 9, "deep/empty": b"", "n" * 150 + ".txt": b"long"}


def write(tar: Path, contents: dict[str, bytes] = CONTENTS, *, prefix: str = "", mode: str = "w") -> Path:
    with tarfile.open(tar, mode) as file:
        for name, content in contents.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            file.addfile(member, BytesIO(content))
    return tar


def message(tar: Path) -> str:
    with pytest.raises(DataError) as caught:
        tar_index(tar)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "./"])
def test_every_file_is_found_where_it_lies(tmp_path: Path, prefix: str) -> None:
    tar = write(tmp_path / "x.tar", prefix=prefix)
    for index in (tar_index(tar), tar_index(tar)):  # made, then kept
        assert index.names == list(CONTENTS)
        assert index.sizes.tolist() == [3, 2304, 0, 4]
        reader = TarReader(tar)
        for name, offset, size in zip(index.names, index.offsets.tolist(), index.sizes.tolist(), strict=True):
            assert reader.read(name, offset=offset, size=size) == CONTENTS[name]


def test_the_index_is_kept_until_the_tar_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar = write(tmp_path / "x.tar")
    tar_index(tar)
    place = tmp_path / ".x.tar.index.npz"
    assert place == index_places(tar)[0]
    kept = place.read_bytes()

    monkeypatch.setattr(module, "_members", lambda *_: pytest.fail("the tar was read again"))
    assert tar_index(tar).names == list(CONTENTS)
    monkeypatch.undo()

    write(tar, {"other": b"1"})
    assert tar_index(tar).names == ["other"]  # another size
    write(tar, {"olden": b"1"})
    os.utime(tar, ns=(1, 1))
    assert tar_index(tar).names == ["olden"]  # another time alone
    place.write_bytes(kept[:100])
    assert tar_index(tar).names == ["olden"]  # a damaged index
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".x.tar.index.npz", "x.tar"]


def test_in_a_folder_that_cannot_be_written_to_the_cache_folder_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tar = write(tmp_path / "x.tar")
    blocked = index_places(tar)[0]
    blocked.mkdir()  # stands in for a read-only folder, which root may write to: no file can be put there
    (blocked / "something").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tar_index(tar)
    (kept,) = (tmp_path / "cache/dusa_ignite").iterdir()
    assert kept.name.startswith("x.tar.")
    monkeypatch.setattr(module, "_members", lambda *_: pytest.fail("the tar was read again"))
    assert tar_index(tar).names == list(CONTENTS)
    monkeypatch.undo()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tar))  # a file
    with caplog.at_level(logging.WARNING):
        assert tar_index(tar).names == list(CONTENTS)
    assert f"{tar}: its table of contents could be kept nowhere" in caplog.text


@pytest.mark.parametrize("left", [700, 1024, 3000, 3072])
def test_a_truncated_tar_is_named(tmp_path: Path, left: int) -> None:
    tar = write(tmp_path / "x.tar")
    tar.write_bytes(tar.read_bytes()[:left])
    assert message(tar) == f"{tar}: is truncated or no tar (it does not end as a tar does); fetch it again"
    assert not index_places(tar)[0].exists()


def test_a_tar_cut_where_zeros_lie_is_named(tmp_path: Path) -> None:
    tar = write(tmp_path / "x.tar", {"a": b"\0" * 5000, "b": b"1"})
    tar.write_bytes(tar.read_bytes()[:4000])
    assert message(tar).startswith(f"{tar}: is truncated, damaged or no tar (unexpected end of data)")


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    tar = write(tmp_path / "x.tar", {"a": b"1", "b": b"2"})
    content = bytearray(tar.read_bytes())
    content[1024:1100] = b"x" * 76  # b's header
    tar.write_bytes(content)
    assert message(tar) == f"{tar}: is damaged at byte 1,024; fetch it again"


def test_other_files_are_told(tmp_path: Path) -> None:
    assert message(tmp_path / "gone.tar") == f"{tmp_path / 'gone.tar'}: cannot be read (No such file or directory)"
    (tmp_path / "empty.tar").touch()
    assert message(tmp_path / "empty.tar") == f"{tmp_path / 'empty.tar'}: is empty; fetch it again"
    packed = write(tmp_path / "x.tar.gz", mode="w:gz")
    assert message(packed).endswith("is compressed, so that no image can be read by itself; unpack it once: gunzip")
    (tmp_path / "zeros").write_bytes(b"\1" * 600 + bytes(2000))
    assert "no tar" in message(tmp_path / "zeros")


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        member = tarfile.TarInfo("a.png")
        member.type, member.linkname = tarfile.SYMTYPE, "b.png"
        file.addfile(member)
    assert "a.png: is a link or no plain file" in message(tmp_path / "x.tar")


def test_a_tar_that_shrank_since_is_named(tmp_path: Path) -> None:
    tar = write(tmp_path / "x.tar")
    index, reader = tar_index(tar), TarReader(tar)
    os.truncate(tar, 2000)
    with pytest.raises(DataError, match=r"x\.tar: is truncated, it ends within deep/er/b\.bin"):
        reader.read(index.names[1], offset=int(index.offsets[1]), size=int(index.sizes[1]))
