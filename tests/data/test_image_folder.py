"""Image folders: three layouts, the order of the classes, and what each wrong folder is told."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from dusa_ignite.data.clean import clean_images
from dusa_ignite.data.image_folder import ImageFolder, image_folder_tasks
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError

LAYOUTS = "<task>/<class>/<image>, or <class>/<image> for a single task; without labels <task>/<image> or <image>"


def add_image(root: Path, path: str, size: tuple[int, int] = (4, 4), colour: tuple[int, int, int] = (0, 0, 0)) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(root / path, format="PNG")


def tasks_of(root: Path, classes: Any = None) -> list[Task]:
    return ImageFolder(root=str(root), classes=classes).tasks()


def message(root: Path, classes: Any = None) -> str:
    with pytest.raises(DataError) as caught:
        tasks_of(root, classes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels(task: object) -> list[int]:
    return task.dataset.labels.tolist()  # type: ignore[attr-defined]


def test_a_task_per_folder(tmp_path: Path) -> None:
    add_image(tmp_path, "night/dog/1.png", size=(5, 3), colour=(7, 8, 9))
    add_image(tmp_path, "night/cat/2.JPG")
    add_image(tmp_path, "night/cat/1.jpeg", size=(2, 6))
    add_image(tmp_path, "day/emu/1.png")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "night/cat/._1.jpeg").write_bytes(b"resource fork")
    day, night = tasks_of(tmp_path)
    assert (day.name, night.name) == ("day", "night")
    assert day.classes == night.classes == ("cat", "dog", "emu")  # of all tasks together
    assert (day.dataset.files, labels(day)) == (["emu/1.png"], [2])
    assert (night.dataset.files, labels(night)) == (["cat/1.jpeg", "cat/2.JPG", "dog/1.png"], [0, 0, 1])
    assert [tuple(night.dataset[k][0].shape) for k in range(3)] == [(3, 6, 2), (3, 4, 4), (3, 3, 5)]
    image, label = night.dataset[2]
    assert (image[:, 0, 0].tolist(), label) == ([7, 8, 9], 1)


def test_a_single_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_image(tmp_path, "photos/dog/1.png")
    add_image(tmp_path, "photos/cat/1.png")
    (tmp_path / "photos/emu").mkdir()
    (task,) = image_folder_tasks(tmp_path / "photos")
    assert (task.name, task.classes) == ("photos", ("cat", "dog", "emu"))
    assert (task.dataset.files, labels(task)) == (["cat/1.png", "dog/1.png"], [0, 1])
    monkeypatch.chdir(tmp_path / "photos")
    assert image_folder_tasks(".")[0].name == "photos"


def test_without_labels(tmp_path: Path) -> None:
    add_image(tmp_path, "photos/b.png")
    add_image(tmp_path, "photos/a.png")
    (task,) = tasks_of(tmp_path / "photos", ["dog", "cat"])
    assert (task.name, task.classes) == ("photos", ("dog", "cat"))
    assert (task.dataset.files, labels(task)) == (["a.png", "b.png"], [-1, -1])
    (task,) = tasks_of(tmp_path / "photos")  # what the classes are called does not matter to images without labels
    assert (task.classes, labels(task)) == ((), [-1, -1])


def test_folders_that_are_no_classes_are_tasks_without_labels(tmp_path: Path) -> None:
    add_image(tmp_path, "monday/b.png")
    add_image(tmp_path, "monday/a.png")
    add_image(tmp_path, "sunday/c.png")
    (tmp_path / "notes.txt").touch()
    monday, sunday = tasks_of(tmp_path, ["dog", "cat"])
    assert (monday.name, monday.classes, monday.dataset.files, labels(monday)) == (
        "monday",
        ("dog", "cat"),
        ["a.png", "b.png"],
        [-1, -1],
    )
    assert (sunday.name, sunday.dataset.files, labels(sunday)) == ("sunday", ["c.png"], [-1])
    assert monday.dataset.left_out == [str(tmp_path / "notes.txt")]
    (task,) = tasks_of(tmp_path)  # without names they can only be classes; the class check has to look at their number
    assert (task.classes, labels(task)) == (("monday", "sunday"), [0, 0, 1])


def test_folders_of_which_some_are_classes(tmp_path: Path) -> None:
    add_image(tmp_path, "cat/1.png")
    add_image(tmp_path, "dgo/1.png")
    assert message(tmp_path, ["dog", "cat"]) == (
        f"{tmp_path / 'dgo'}: is not in data.classes (nearest: 'dog'); rename the folder or add it there; 1 of 2 "
        "folders beside it are there. Where none is, each is a task of unlabelled images"
    )


def test_a_task_without_labels_and_images(tmp_path: Path) -> None:
    add_image(tmp_path, "monday/a.png")
    (tmp_path / "sunday").mkdir()
    (tmp_path / "sunday/a.heic").touch()
    assert message(tmp_path, ["dog", "cat"]) == (
        f"{tmp_path / 'sunday'}: holds no images; expected {tmp_path / 'sunday'}/<image>; left out 1 file that is no "
        f"image by its name (1 .heic), such as {tmp_path / 'sunday/a.heic'}"
    )


def test_folders_that_are_integers_sort_as_integers(tmp_path: Path) -> None:
    for number in range(12):
        add_image(tmp_path, f"{number}/1.png")
    (task,) = tasks_of(tmp_path)
    assert task.classes == tuple(map(str, range(12)))
    assert dict(zip(task.dataset.files, labels(task), strict=True))["10/1.png"] == 10  # 2 if they were text


def test_classes_by_wnid_and_by_human_name(tmp_path: Path) -> None:
    add_image(tmp_path, "a/n01440764/1.png")
    add_image(tmp_path, "a/Fire_Engine/1.png")
    add_image(tmp_path, "b/tench/1.png")
    a, b = tasks_of(tmp_path, ["fire engine, fire truck", "tench, Tinca tinca"])
    assert (a.dataset.files, labels(a)) == (["Fire_Engine/1.png", "n01440764/1.png"], [0, 1])
    assert labels(b) == [1]
    a, b = tasks_of(tmp_path, "imagenet-1k")
    assert (len(a.classes), labels(a), labels(b)) == (1000, [555, 0], [0])


@pytest.mark.parametrize("where", ["day/cat", "day", "."])
def test_what_is_left_out_is_kept(tmp_path: Path, where: str) -> None:
    add_image(tmp_path, "day/cat/1.png")
    (tmp_path / where / "a.txt").touch()
    (tmp_path / where / ".hidden").touch()
    (task,) = tasks_of(tmp_path)
    assert task.dataset.left_out == [str(tmp_path / where / "a.txt")]


@pytest.mark.parametrize("content", [b"dog\nemu\ncat\n", b"\xef\xbb\xbfdog\r\n emu \r\ncat\r\n\r\n"])
def test_classes_from_a_list_or_a_file(tmp_path: Path, content: bytes) -> None:
    add_image(tmp_path, "photos/dog/1.png")
    add_image(tmp_path, "photos/cat/1.png")
    names = tmp_path / "classes.txt"
    names.write_bytes(content)
    for classes in (["dog", "emu", "cat"], str(names)):
        (task,) = tasks_of(tmp_path / "photos", classes)
        assert task.classes == ("dog", "emu", "cat")  # no folder of emus: fine
        assert (task.dataset.files, labels(task)) == (["cat/1.png", "dog/1.png"], [2, 0])


def test_the_order_of_classes_changes_the_fingerprint(tmp_path: Path) -> None:
    add_image(tmp_path, "cat/1.png")
    add_image(tmp_path, "dog/1.png")
    first, second = (tasks_of(tmp_path, names)[0] for names in (["cat", "dog"], ["dog", "cat"]))
    assert first.dataset.fingerprint() != second.dataset.fingerprint()


def test_a_class_folder_that_is_not_listed(tmp_path: Path) -> None:
    add_image(tmp_path, "day/cats/1.png")
    assert message(tmp_path, ["dog", "cat"]) == (
        f"{tmp_path / 'day/cats'}: is not in data.classes (nearest: 'cat'); rename the folder or add it there"
    )


def test_root_missing_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    end = f"data.root must name a folder that holds {LAYOUTS}"
    assert message(tmp_path / "gone") == f"{tmp_path / 'gone'}: no such folder; {end}"
    assert message(tmp_path / "file") == f"{tmp_path / 'file'}: is a file; {end}"


def test_no_images(tmp_path: Path) -> None:
    expected = f"{tmp_path}: holds no images; expected {tmp_path}/<class>/<image>"
    assert message(tmp_path) == expected
    (tmp_path / "cat").mkdir()
    assert message(tmp_path) == expected
    (tmp_path / "notes.txt").touch()
    assert message(tmp_path) == (
        f"{expected}; left out 1 file that is no image by its name (1 .txt), such as {tmp_path / 'notes.txt'}"
    )


def test_a_task_without_images(tmp_path: Path) -> None:
    add_image(tmp_path, "day/cat/1.png")
    (tmp_path / "night").mkdir()
    assert message(tmp_path) == f"{tmp_path / 'night'}: holds no images; expected {tmp_path / 'night'}/<class>/<image>"


def test_images_beside_class_folders(tmp_path: Path) -> None:
    add_image(tmp_path, "cat/1.png")
    add_image(tmp_path, "stray.png")
    assert message(tmp_path) == (
        f"{tmp_path / 'stray.png'}: an image on the same level as the folder {tmp_path / 'cat'}; "
        f"data.root must hold {LAYOUTS}"
    )


@pytest.mark.parametrize("stray", ["day/stray.png", "night/stray.png"])
def test_images_beside_class_folders_one_level_down(tmp_path: Path, stray: str) -> None:
    add_image(tmp_path, "day/cat/1.png")
    add_image(tmp_path, stray)
    assert message(tmp_path) == (
        f"{tmp_path / stray}: an image on the same level as the folder {tmp_path / 'day/cat'}; "
        f"data.root must hold {LAYOUTS}"
    )


def test_corruptions_and_severities(tmp_path: Path) -> None:
    for name in ("snow/3/cat/1.png", "snow/5/dog/1.png", "fog/5/cat/1.png", "fog/5/cat/2.png"):
        add_image(tmp_path, name)
    tasks = ImageFolder(root=str(tmp_path)).tasks()
    assert [task.name for task in tasks] == ["fog/5", "snow/3", "snow/5"]
    assert [task.dataset.labels.tolist() for task in tasks] == [[0, 0], [0], [1]]
    assert {task.classes for task in tasks} == {("cat", "dog")}
    assert tasks[0].dataset.files == ["cat/1.png", "cat/2.png"]
    assert [task.name for task in ImageFolder(root=str(tmp_path), only=("*/5",)).tasks()] == ["fog/5", "snow/5"]
    assert [task.name for task in ImageFolder(root=str(tmp_path), only=("snow/3", "fog/*")).tasks()] == [
        "fog/5",
        "snow/3",
    ]
    with pytest.raises(DataError, match=r"^data\.only: 'fog/4' matches no task; nearest: fog/5$"):
        ImageFolder(root=str(tmp_path), only=("fog/4",)).tasks()
    with pytest.raises(ValidationError):
        ImageFolder(root=str(tmp_path), only=())


def test_only_some_tasks_of_one_level(tmp_path: Path) -> None:
    for name in ("day/cat/1.png", "night/cat/1.png"):
        add_image(tmp_path / "labelled", name)
    for name in ("day/1.png", "night/1.png"):
        add_image(tmp_path / "plain", name)
    for root, classes in ((tmp_path / "labelled", None), (tmp_path / "plain", ("cat", "dog"))):
        (task,) = ImageFolder(root=str(root), classes=classes, only=("night",)).tasks()
        assert task.name == "night"
    single = tmp_path / "labelled/day"
    assert len(ImageFolder(root=str(single), only=("day",)).tasks()) == 1
    with pytest.raises(DataError, match=r"^data\.only: 'night' matches no task; nearest: day$"):
        ImageFolder(root=str(single), only=("night",)).tasks()


def test_mixed_depths(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/5/cat/1.png")
    add_image(tmp_path, "snow/dog/1.png")
    assert message(tmp_path).startswith(f"{tmp_path / 'snow/dog/1.png'}: an image on the same level as the folder ")


def test_too_deep(tmp_path: Path) -> None:
    add_image(tmp_path, "x/fog/5/cat/1.png")
    assert message(tmp_path) == (
        f"{tmp_path / 'x/fog/5/cat'}: lies too deep; data.root must hold {LAYOUTS}: is it one level too high?"
    )


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([], "[] is not allowed; allowed: a file, a list of names, or null"),
        (5, "5 is not allowed; allowed: a file, a list of names, or null"),
        ([1, 2], "1 is not text; allowed: a file, a list of names, or null; quote names that are numbers"),
        (["cat", "dog", "cat"], "'cat' is named twice, as number 1 and 3"),
        (["cat", ""], "name 2 is empty, but every position is a label"),
    ],
)
def test_wrong_lists(classes: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ImageFolder(root="/x", classes=classes)
    (problem,) = caught.value.errors()
    assert problem["loc"] == ("classes",)
    assert problem["msg"] == f"Value error, {expected}"


def test_wrong_files(tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    assert message(tmp_path, str(names)) == (
        f"{names}: no such file; data.classes must be a list, or a file with a name per line"
    )
    names.write_text("\n\n")
    assert message(tmp_path, str(names)) == f"{names}: names no class"
    names.write_text("cat\n\ndog\n")
    assert message(tmp_path, str(names)) == f"{names}: name 2 is empty, but every position is a label"
    names.write_text("cat\ncat\n")
    assert message(tmp_path, str(names)) == f"{names}: 'cat' is named twice, as number 1 and 2"
    names.write_bytes(b"caf\xe9\n")
    assert message(tmp_path, str(names)).startswith(f"{names}: cannot read the class names (")


def test_clean_images_are_the_first_tasks(tmp_path: Path) -> None:
    add_image(tmp_path, "day/cat/1.png", size=(5, 3), colour=(7, 8, 9))
    add_image(tmp_path, "night/dog/1.png")
    images = clean_images(str(tmp_path), key="method.fisher_root")
    assert len(images) == 1
    assert (tuple(images[0][0].shape), images[0][0][:, 0, 0].tolist(), images[0][1]) == ((3, 3, 5), [7, 8, 9], 0)


def test_errors_of_clean_images_name_the_option(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: no such folder; method.fisher_root must name a folder that holds"):
        clean_images(str(tmp_path / "gone"), key="method.fisher_root")
    add_image(tmp_path, "x/fog/5/cat/1.png")
    with pytest.raises(DataError, match=r"lies too deep; method.fisher_root must hold"):
        clean_images(str(tmp_path), key="method.fisher_root")
