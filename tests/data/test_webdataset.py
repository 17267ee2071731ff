"""webdataset's shards: samples and their labels, shards by folder and pattern, and what is told of wrong ones."""

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dusa_ignite.data import Task, WebDataset, tar_images
from dusa_ignite.data.webdataset import expand
from dusa_ignite.errors import DataError


def image(value: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(file, format="PNG")
    return file.getvalue()


def shard(path: Path, contents: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return path


def tasks_of(root: Path | str, **options: Any) -> list[Task]:
    return WebDataset(root=str(root), **options).tasks()


def message(root: Path | str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        tasks_of(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_labels_in_cls_in_json_or_nowhere(tmp_path: Path) -> None:
    contents = {
        "x/b.png": image(1),
        "x/b.cls": b"dog\n",
        "x/a.json": json.dumps({"label": "cat", "width": 4}).encode(),
        "x/a.png": image(2),
        "x/a.seg.png": image(9),  # another part of the sample
        "c.jpg": image(3),
        "c.json": b'{"caption": "a bird"}',
        "d.txt": b"no image",
    }
    (task,) = tasks_of(shard(tmp_path / "mine.tar", contents))
    assert (task.name, task.classes) == ("mine", ("cat", "dog"))
    assert task.dataset.files == ["mine.tar/x/b.png", "mine.tar/x/a.png", "mine.tar/c.jpg"]
    assert task.dataset.labels.tolist() == [1, 0, -1]
    assert [int(task.dataset[k][0][0, 0, 0]) for k in range(3)] == [1, 2, 3]
    assert task.dataset.left_out == [f"{tmp_path / 'mine.tar'}: d.txt"]


def test_integers_are_labels(tmp_path: Path) -> None:
    contents = {"a.png": image(1), "a.cls": b"2", "b.png": image(2), "b.json": b'{"cls": 0}'}
    tar = shard(tmp_path / "s.tar", contents)
    (task,) = tasks_of(tar)
    assert (task.classes, task.dataset.labels.tolist()) == (("0", "1", "2"), [2, 0])
    (task,) = tasks_of(tar, classes=("cat", "dog", "owl", "fox"))
    assert (task.classes, task.dataset.labels.tolist()) == (("cat", "dog", "owl", "fox"), [2, 0])


def test_a_folder_is_a_task_and_folders_are_tasks(tmp_path: Path) -> None:
    for number, name in enumerate(["fog/1", "fog/0", "snow/0"]):
        shard(tmp_path / f"{name}.tar", {"a.png": image(number), "a.cls": b"0"})
    (tmp_path / "empty").mkdir()
    (task,) = tasks_of(tmp_path / "fog")
    assert (task.name, task.dataset.files) == ("fog", ["0.tar/a.png", "1.tar/a.png"])
    assert [int(task.dataset[k][0][0, 0, 0]) for k in range(2)] == [1, 0]
    assert [(task.name, len(task.dataset)) for task in tasks_of(tmp_path)] == [("fog", 2), ("snow", 1)]


def test_more_shards_than_may_be_open_from_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_images, "MAX_OPEN", 2)
    for number in range(20):
        shard(tmp_path / "many" / f"{number:02}.tar", {"a.png": image(number), "a.cls": b"0"})
    (task,) = tasks_of(tmp_path / "many")
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda k: int(task.dataset[k][0][0, 0, 0]), [*range(20)] * 20))
    assert read == [*range(20)] * 20
    assert len(task.dataset._open) <= 5  # two, and one more for each thread but one


def test_patterns(tmp_path: Path) -> None:
    assert expand("s-{08..10}.tar") == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert expand("{0..1}/{3..4}") == ["0/3", "0/4", "1/3", "1/4"]
    assert expand("plain.tar") == ["plain.tar"]
    with pytest.raises(DataError, match=r"\{3\.\.1\}: the range must rise"):
        expand("s-{3..1}.tar")
    for number in range(3):
        shard(tmp_path / f"s-00{number}.tar", {"a.png": image(number), "a.cls": b"0"})
    (task,) = tasks_of(tmp_path / "s-{001..002}.tar")
    assert (task.name, task.dataset.files) == (tmp_path.name, ["s-001.tar/a.png", "s-002.tar/a.png"])
    assert message(tmp_path / "s-{001..003}.tar").startswith(f"{tmp_path / 's-003.tar'}: cannot be read (No such file")


def test_shards_of_one_name_in_several_folders(tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"part-{number}" / "s.tar", {"a.png": image(number), "a.cls": b"0"})
    (task,) = tasks_of(tmp_path / "part-{0..1}" / "s.tar")
    assert task.name == tmp_path.name
    assert task.dataset.files == ["part-0/s.tar/a.png", "part-1/s.tar/a.png"]
    assert [int(task.dataset[k][0][0, 0, 0]) for k in range(2)] == [0, 1]


def test_what_is_told_of_wrong_shards(tmp_path: Path) -> None:
    tar = tmp_path / "s.tar"
    shard(tar, {"a.png": image(1), "a.cls": b"bird"})
    assert message(tar, classes=("cat", "dog")) == (
        f"{tar}/a.png: the label 'bird' is none of the 2 classes (cat, dog), nor a position among them"
    )
    shard(tar, {"a.png": image(1), "a.jpg": image(1)})
    assert message(tar) == f"{tar}: a: has 2 images, a.png, a.jpg"
    shard(tar, {"a.png": image(1), "a.json": b"{"})
    assert message(tar).startswith(f"{tar}: a: its label cannot be read (")
    shard(tar, {"a.png": image(1), "a.json": b'{"label": 1.5}'})
    assert message(tar) == f"{tar}: a: the label 1.5 is neither a number nor a name"
    shard(tar, {"a.txt": b""})
    assert message(tar) == f"{tar}: holds no images; expected <key>.jpg, <key>.png ... with <key>.cls or <key>.json"
    tar.write_bytes(b"x" * 5000)
    assert message(tar) == f"{tar}: is truncated or no tar (it does not end as a tar does); fetch it again"
    assert message(tmp_path / "gone").startswith(f"{tmp_path / 'gone'}: no such folder; data.root must name a folder")
    (tmp_path / "empty").mkdir()
    assert message(tmp_path / "empty").endswith("expected *.tar in it, or in folders within, and found none")
