"""Lists of files: which images they choose, of any data set, what a table says of them, and lists that do not fit."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tars import pack, save_images

from dusa_ignite.data import Cifar10C, DataSet, Digits, ImageFolder, ImageNetC
from dusa_ignite.data.file_list import describe_list, list_line
from dusa_ignite.data.files import LabelledFiles
from dusa_ignite.errors import DataError

NAMES = [
    f"{corruption}/5/{wnid}/{number}.JPEG"
    for corruption in ("fog", "snow")
    for wnid in ("n01440764", "n02123045")
    for number in (1, 2, 3)
]
SHARED = ["n02123045/3.JPEG", "n01440764/2.JPEG"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save_images(tmp_path / "folders", NAMES)
    (tmp_path / "tars").mkdir()
    pack(tmp_path / "tars/weather.tar", tmp_path / "folders", NAMES)
    return tmp_path


def write(root: Path, lines: list[str]) -> str:
    (root / "list.txt").write_text("\n".join(lines) + "\n")
    return str(root / "list.txt")


def imagenet_c(root: Path, kind: str, lines: list[str]) -> DataSet:
    return ImageNetC(
        root=str(root / kind), corruptions=("snow", "fog"), severities=(5,), files=write(root, lines), num_workers=0
    )


def message(data: DataSet) -> str:
    with pytest.raises(DataError) as caught:
        data.find()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["folders", "tars"])
def test_images_of_every_task_in_the_data_sets_order(root: Path, kind: str) -> None:
    data = imagenet_c(root, kind, [f"./{SHARED[0]}", "", f"  {SHARED[1]}  ", SHARED[1]])
    tasks, whole = data.find(), data.tasks()
    for task, all_of_it in zip(tasks, whole, strict=True):
        assert task.dataset.files == ["n01440764/2.JPEG", "n02123045/3.JPEG"]
        assert task.dataset.labels.tolist() == [0, 281]
        assert [task.dataset[k][1] for k in range(2)] == [0, 281]
        assert torch.equal(task.dataset[0][0], all_of_it.dataset[1][0])
        assert torch.equal(task.dataset[1][0], all_of_it.dataset[5][0])
        assert len(all_of_it.dataset) == 6


def test_a_narrowed_folder_is_that_of_these_files_alone(root: Path) -> None:
    snow, _ = imagenet_c(root, "folders", SHARED).find()
    in_tar, _ = imagenet_c(root, "tars", SHARED).find()
    alone = LabelledFiles(root / "folders/snow/5", files=sorted(SHARED), labels=[0, 281])
    assert snow.dataset.fingerprint() == in_tar.dataset.fingerprint() == alone.fingerprint()


@pytest.mark.parametrize("kind", ["folders", "tars"])
def test_images_of_one_task(root: Path, kind: str) -> None:
    lines = ["fog/5/n01440764/1.JPEG", "snow/5/n01440764/2.JPEG", "snow/5/n02123045/1.JPEG"]
    snow, fog = imagenet_c(root, kind, lines).find()
    assert snow.dataset.files == ["n01440764/2.JPEG", "n02123045/1.JPEG"]
    assert fog.dataset.files == ["n01440764/1.JPEG"]


def test_lists_that_do_not_fit(root: Path) -> None:
    lines = [SHARED[0], "n01440764/7.JPEG", "fog/5/n01440764/8.JPEG", "a", "b"]
    assert message(imagenet_c(root, "folders", lines)) == (
        f"data.files: {root / 'list.txt'}: of its 5 paths 4 are not in the data: n01440764/7.JPEG, "
        "fog/5/n01440764/8.JPEG, a, ...; expected paths such as n01440764/1.JPEG or snow/5/n01440764/1.JPEG"
    )
    save_images(root / "folders", ["fog/5/n01440764/9.JPEG"])
    assert "1 is not in the data: n01440764/9.JPEG (of task snow/5); expected" in message(
        imagenet_c(root, "folders", ["n01440764/9.JPEG"])
    )
    assert message(imagenet_c(root, "folders", ["fog/5/n01440764/9.JPEG"])) == (
        f"data.files: {root / 'list.txt'}: names no image of task snow/5; add some, or leave the task out"
    )
    assert message(imagenet_c(root, "folders", [""])).endswith("list.txt: is empty; expected a path per line")
    data = imagenet_c(root, "folders", ["x"])
    problems: list[str] = []
    assert [len(task.dataset) for task in data.find(problems)] == [6, 7]
    assert len(problems) == 1
    (root / "list.txt").unlink()
    assert message(data).endswith("list.txt: cannot read this list (No such file or directory)")


def test_images_without_files_are_called_by_their_position(tmp_path: Path) -> None:
    np.save(
        tmp_path / "fog.npy", np.arange(15, dtype=np.uint8)[:, None, None, None] + np.zeros((15, 2, 2, 3), np.uint8)
    )
    np.save(tmp_path / "labels.npy", np.array([0, 1, 2] * 5))
    files = write(tmp_path, ["2", "0"])
    (fog,) = Cifar10C(root=str(tmp_path), corruptions=("fog",), severities=(2,), files=files).find()
    assert [(int(image[0, 0, 0]), label) for image, label in (fog.dataset[k] for k in range(2))] == [(3, 0), (5, 2)]
    assert (list(fog.dataset.labels), fog.dataset.files) == ([0, 2], ["0", "2"])
    digits = Digits(corruptions=("fog",), files=files)
    (some,), (whole,) = digits.find(), digits.tasks()
    assert torch.equal(some.dataset[1][0], whole.dataset[2][0])
    assert some.dataset.fingerprint() != whole.dataset.fingerprint()


def test_a_single_task_and_a_task_named_like_a_class(tmp_path: Path) -> None:
    save_images(tmp_path, ["cat/cat/1.png", "cat/dog/1.png"])
    data = ImageFolder(root=str(tmp_path / "cat"), files=write(tmp_path, ["cat/1.png"]))
    (task,) = data.find()
    assert task.dataset.files == ["cat/1.png"]


def test_what_a_table_says(root: Path) -> None:
    data = imagenet_c(root, "folders", SHARED)
    digest = hashlib.sha256((root / "list.txt").read_bytes()).hexdigest()
    listed: Any = describe_list(data.files, data.find())
    assert listed == {"path": str(root / "list.txt"), "sha256": digest, "images": {"snow/5": 2, "fog/5": 2}}
    assert list_line(listed) == f"only the images listed in list.txt (SHA-256 {digest[:12]}): 2 per task"
    assert list_line({**listed, "images": {"a": 2, "b": 5}}).endswith(": 2 to 5 per task")
    assert describe_list(None, data.tasks()) is None
    assert list_line(None) == ""
