"""A CSV of images: labels by name or number, tasks, images without labels, and errors with file and line."""

from pathlib import Path
from typing import Any

import pytest
from support.tars import save_images

from dusa_ignite.data import ImageList, Task
from dusa_ignite.errors import DataError


def tasks_of(tmp_path: Path, text: str, **options: Any) -> list[Task]:
    (tmp_path / "mine.csv").write_text(text)
    return ImageList(root=str(tmp_path / "mine.csv"), **options).tasks()


def message(tmp_path: Path, text: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        tasks_of(tmp_path, text, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(tmp_path / "mine.csv"))


def test_names_of_classes(tmp_path: Path) -> None:
    save_images(tmp_path, ["a/1.png", "2.png"])
    (task,) = tasks_of(tmp_path, "path,label\na/1.png,dog\n\n2.png,cat\n3.png,\n")
    assert (task.name, task.classes) == ("mine", ("cat", "dog"))
    assert task.dataset.files == ["a/1.png", "2.png", "3.png"]
    assert task.dataset.labels.tolist() == [1, 0, -1]
    assert task.dataset[0][0].shape == (3, 8, 8)
    with pytest.raises(DataError, match=r"3\.png: cannot read this image \(No such file"):
        task.dataset[2]


def test_integers_are_labels(tmp_path: Path) -> None:
    (task,) = tasks_of(tmp_path, "label,path\n3,a.png\n0,b.png\n-1,c.png\n")
    assert task.classes == ("0", "1", "2", "3")
    assert task.dataset.labels.tolist() == [3, 0, -1]


def test_classes_by_name_by_another_name_or_by_position(tmp_path: Path) -> None:
    text = "path,label\na.png,n01443537\nb.png,goldfish\nc.png,2\nd.png,Great_White Shark\n"
    (task,) = tasks_of(tmp_path, text, classes="imagenet-1k")
    assert task.dataset.labels.tolist() == [1, 1, 2, 2]
    assert len(task.classes) == 1000
    (task,) = tasks_of(tmp_path, "path,label\na.png,1\nb.png,dog\n", classes=("0", "1", "dog"))  # its own position
    assert task.dataset.labels.tolist() == [1, 2]


def test_of_classes_that_are_other_numbers_names_alone_are_taken(tmp_path: Path) -> None:
    (task,) = tasks_of(tmp_path, "path,label\na.png,3\nb.png,1\n", classes=("1", "2", "3"))
    assert task.dataset.labels.tolist() == [2, 0]
    assert message(tmp_path, "path,label\na.png,0\nb.png,1\n", classes=("1", "2", "3")) == (
        ", line 2: the label '0' is none of the 3 classes (1, 2, 3); as these are numbers, it must be one"
    )


def test_tasks_in_order_of_appearance_with_the_same_classes(tmp_path: Path) -> None:
    text = 'path,label,task\na.png,dog,snow/5\nb.png,cat,fog/5\n"c,d.png",cat,snow/5\na.png,dog,fog/5\n'
    snow, fog = tasks_of(tmp_path, text)
    assert (snow.name, fog.name) == ("snow/5", "fog/5")
    assert snow.classes == fog.classes == ("cat", "dog")
    assert (snow.dataset.files, snow.dataset.labels.tolist()) == (["a.png", "c,d.png"], [1, 0])
    assert (fog.dataset.files, fog.dataset.labels.tolist()) == (["b.png", "a.png"], [0, 1])


def test_a_path_may_begin_with_a_dot(tmp_path: Path) -> None:
    save_images(tmp_path, ["a/1.png", "2.png"])
    (task,) = tasks_of(tmp_path, "path\n./a/1.png\n2.png\n")  # as find writes them
    assert task.dataset.files == ["a/1.png", "2.png"]
    (tmp_path / "some.txt").write_text("./a/1.png\n", encoding="utf-8")
    (task,) = ImageList(root=str(tmp_path / "mine.csv"), files=str(tmp_path / "some.txt")).find()
    assert task.dataset.files == ["a/1.png"]
    assert message(tmp_path, "path\n2.png\n./2.png\n") == ", line 3: 2.png stands in line 2 already"


def test_no_labels_at_all(tmp_path: Path) -> None:
    (task,) = tasks_of(tmp_path, "path\na.png\n")
    assert (task.classes, task.dataset.labels.tolist()) == ((), [-1])
    (task,) = tasks_of(tmp_path, "\ufeffpath,label\na.png,\n")  # as spreadsheets save UTF-8
    assert (task.classes, task.dataset.labels.tolist()) == ((), [-1])


HEADER = "expected path,label,task (the last two may be missing), with commas between"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png,cat\n", f", line 1: the header is 'a.png,cat'; {HEADER}"),
        ("path;label\na.png;cat\n", f", line 1: the header is 'path;label'; {HEADER}"),
        ("path,lable\na.png,cat\n", f", line 1: the header is 'path,lable'; {HEADER}"),
        ("path,path\na.png,cat\n", f", line 1: the header is 'path,path'; {HEADER}"),
        ("", f", line 1: the header is ''; {HEADER}"),
        ("path,label\n", ": lists no images; expected a line path,label under the header"),
        ("path,label\na,b\nc\n", ", line 3: has 1 fields, the header has 2; quote a field with commas"),
        ("path,label\na,b,c\n", ", line 2: has 3 fields, the header has 2; quote a field with commas"),
        ("path,label\na,b\n\n,c\n", ", line 4: the path is empty"),
        ("path,label,task\na,b,\n", ", line 2: the task is empty"),
        ("path,label\na,b\nc,b\na,c\n", ", line 4: a stands in line 2 already"),
        ('path,label\n"a,b\n', ", line 2: is no CSV (unexpected end of data)"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    assert message(tmp_path, text) == expected


def test_labels_that_are_none(tmp_path: Path) -> None:
    text = "path,label\na,cat\nb,bird\n"
    assert message(tmp_path, text, classes=("cat", "dog")) == (
        ", line 3: the label 'bird' is none of the 2 classes (cat, dog), nor a position among them"
    )
    assert ", line 2: the label '2' is none" in message(tmp_path, "path,label\na,2\n", classes=("cat", "dog"))
    assert ", line 2: the label '5000000' is none" in message(tmp_path, "path,label\na,5000000\nb,1\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: cannot read this file \(No such file"):
        ImageList(root=str(tmp_path / "gone.csv")).tasks()
    with pytest.raises(DataError, match=r"cannot read this file \(Is a directory\); data\.root must name a CSV file"):
        ImageList(root=str(tmp_path)).tasks()
    (tmp_path / "x.csv").write_bytes("path\nä.png".encode("latin-1"))
    with pytest.raises(DataError, match=r"x\.csv: is not UTF-8 text \(byte 5\)"):
        ImageList(root=str(tmp_path / "x.csv")).tasks()
