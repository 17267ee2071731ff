"""The paths of images, relative to the data's folder."""

from __future__ import annotations

from pathlib import Path

from support.toys import noise_task

from dusa_ignite.data import Task
from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.data.settings import mixed
from dusa_ignite.results.image_paths import ImagePaths


def files(root: Path, *names: str) -> LabelledFiles:
    return LabelledFiles(root, files=names, labels=[0] * len(names))


def test_paths_are_relative_to_the_data_where_they_lie_below_it(tmp_path: Path) -> None:
    tasks = [
        Task("fog", files(tmp_path / "fog" / "5", "cat/1.png", "dog/2.png"), ("cat", "dog")),
        Task("all", files(tmp_path, "3.png"), ("cat", "dog")),
        Task("elsewhere", files(tmp_path.parent / "other", "4.png"), ("cat", "dog")),
    ]
    paths = ImagePaths(tasks, root=tmp_path)
    assert (paths("fog", 1), paths("all", 0), paths("elsewhere", 0)) == ("fog/5/dog/2.png", "3.png", "4.png")
    assert ImagePaths(tasks)("fog", 1) == "dog/2.png"


def test_joined_data_sets_name_the_files_of_each(tmp_path: Path) -> None:
    tasks = [
        Task("fog", files(tmp_path / "fog", "1.png", "2.png"), ("cat",)),
        Task("snow", files(tmp_path / "snow", "1.png"), ("cat",)),
    ]
    paths = ImagePaths(mixed(tasks), root=tmp_path)
    assert [paths("mixed", index) for index in range(3)] == ["fog/1.png", "fog/2.png", "snow/1.png"]


def test_images_without_files_have_none() -> None:
    task = noise_task("fog", 3, seed=0)
    assert ImagePaths([task], root="x")(task.name, 1) == ""


def test_files_that_are_something_else_are_no_paths() -> None:
    class Shards:
        files = ("a.tar",)
        root = 3

        def __len__(self) -> int:
            return 100

    assert ImagePaths([Task("fog", Shards(), ("cat",))], root="x")("fog", 99) == ""  # type: ignore[arg-type]


def test_a_name_that_is_no_text_is_escaped(tmp_path: Path) -> None:
    task = Task("fog", files(tmp_path, "caf\udce9.png"), ("cat",))
    assert ImagePaths([task])("fog", 0) == "caf\\xe9.png"
