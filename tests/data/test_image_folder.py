"""Image folders: three layouts, the order of the classes, and what each wrong folder is told."""

from pathlib import Path

import pytest
from PIL import Image

from dusa_ignite.data.image_folder import image_folder_tasks
from dusa_ignite.errors import DataError

LAYOUTS = "<task>/<class>/<image>, or <class>/<image> for a single task"


def add_image(root: Path, path: str, size: tuple[int, int] = (4, 4), colour: tuple[int, int, int] = (0, 0, 0)) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(root / path, format="PNG")


def message(root: Path, classes: object = None) -> str:
    with pytest.raises(DataError) as caught:
        image_folder_tasks(root, classes=classes)  # type: ignore[arg-type]
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
    day, night = image_folder_tasks(tmp_path)
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
    (task,) = image_folder_tasks(tmp_path / "photos", classes=["dog", "cat"])
    assert (task.name, task.classes) == ("photos", ("dog", "cat"))
    assert (task.dataset.files, labels(task)) == (["a.png", "b.png"], [-1, -1])
    assert message(tmp_path / "photos") == (
        f"{tmp_path / 'photos'}: holds images but no class folders; sort them into class folders, "
        "or name the classes with data.classes to go without labels"
    )


@pytest.mark.parametrize("content", [b"dog\nemu\ncat\n", b"\xef\xbb\xbfdog\r\n emu \r\ncat\r\n\r\n"])
def test_classes_from_a_list_or_a_file(tmp_path: Path, content: bytes) -> None:
    add_image(tmp_path, "photos/dog/1.png")
    add_image(tmp_path, "photos/cat/1.png")
    names = tmp_path / "classes.txt"
    names.write_bytes(content)
    for classes in (["dog", "emu", "cat"], names, str(names)):
        (task,) = image_folder_tasks(tmp_path / "photos", classes=classes)
        assert task.classes == ("dog", "emu", "cat")  # no folder of emus: fine
        assert (task.dataset.files, labels(task)) == (["cat/1.png", "dog/1.png"], [2, 0])


def test_the_order_of_classes_changes_the_fingerprint(tmp_path: Path) -> None:
    add_image(tmp_path, "cat/1.png")
    add_image(tmp_path, "dog/1.png")
    first, second = (image_folder_tasks(tmp_path, classes=names)[0] for names in (["cat", "dog"], ["dog", "cat"]))
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
    (tmp_path / "notes.txt").touch()
    assert message(tmp_path) == expected


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


def test_too_deep(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/5/cat/1.png")
    assert message(tmp_path) == (
        f"{tmp_path / 'fog/5/cat'}: lies too deep; data.root must hold {LAYOUTS}: is it one level too high?"
    )


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([], "data.classes: names no class"),
        (["cat", "dog", "cat"], "data.classes: 'cat' is named twice, as number 1 and 3"),
        (["cat", ""], "data.classes: name 2 is empty, but every position is a label"),
    ],
)
def test_wrong_lists(tmp_path: Path, classes: list[str], expected: str) -> None:
    assert message(tmp_path, classes) == expected


def test_wrong_files(tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    assert message(tmp_path, names) == (
        f"{names}: no such file; data.classes must be a list, or a file with a name per line"
    )
    names.write_text("\n\n")
    assert message(tmp_path, names) == f"{names}: names no class"
    names.write_text("cat\n\ndog\n")
    assert message(tmp_path, names) == f"{names}: name 2 is empty, but every position is a label"
    names.write_text("cat\ncat\n")
    assert message(tmp_path, names) == f"{names}: 'cat' is named twice, as number 1 and 2"
    names.write_bytes(b"caf\xe9\n")
    assert message(tmp_path, names).startswith(f"{names}: cannot read the class names (")
