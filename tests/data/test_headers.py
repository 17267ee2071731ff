"""Image files that cannot be read, told from their headers and ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.data.headers import image_files, unreadable_files, why_unreadable
from dusa_ignite.data.task import Task


def test_each_file_is_named_once() -> None:
    """Two tasks may share a data set; one in memory has no files."""
    files = LabelledFiles("/x", files=["a/1.png", "b/2.png"], labels=[0, 1])
    tasks = [Task("one", files, ("a", "b")), Task("two", files, ("a", "b")), Task("none", [], ("a", "b"))]  # type: ignore[arg-type]
    assert image_files(tasks) == ["/x/a/1.png", "/x/b/2.png"]


@pytest.mark.parametrize("kind", ["jpg", "png", "bmp", "gif", "webp", "tiff"])
def test_cut_files_are_found_in_every_format(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"image.{kind}"
    Image.effect_noise((64, 64), 90).convert("RGB").save(file)
    assert why_unreadable(str(file)) == ""
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    assert why_unreadable(str(file)).startswith("cannot read this image (")
    assert str(file) not in why_unreadable(str(file))


def test_odd_but_readable_files_are_no_fault(tmp_path: Path) -> None:
    """Bytes behind the end, 16 bits, a name of another format."""
    Image.new("RGB", (8, 8)).save(tmp_path / "padded.jpg")
    with (tmp_path / "padded.jpg").open("ab") as file:
        file.write(bytes(50))
    Image.new("I;16", (8, 8)).save(tmp_path / "deep.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "other.jpg", format="PNG")
    Image.new("F", (8, 8)).save(tmp_path / "float.tiff")
    paths = sorted(str(path) for path in tmp_path.glob("*.*"))
    (found,) = unreadable_files(paths, threads=3)
    assert found.path == str(tmp_path / "float.tiff")
    assert "32 bits per channel" in found.reason
