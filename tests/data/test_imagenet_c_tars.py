"""ImageNet-C from its tars: the tasks of the same images in folders, in several loader processes too."""

import os
from pathlib import Path

import pytest
import torch
from support.tars import pack, save_images

from dusa_ignite.data.imagenet_c import ImageNetC
from dusa_ignite.data.stream import TaskStream
from dusa_ignite.errors import DataError

NAMES = [
    f"{corruption}/{severity}/{wnid}/ILSVRC2012_val_0000000{number}.JPEG"
    for corruption in ("fog", "snow", "glass_blur")
    for severity in (3, 5)
    for wnid in ("n01440764", "n02123045", "n15075141")
    for number in (1, 2)
]


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """The images in folders, and packed as they are distributed, out of order."""
    folders, tars = tmp_path / "folders", tmp_path / "tars"
    tars.mkdir()
    save_images(folders, NAMES)
    (folders / "fog/5/n01440764/notes.txt").touch()
    weather = [name for name in reversed(NAMES) if "blur" not in name]
    pack(tars / "weather.tar", folders, [*weather, "fog/5/n01440764/notes.txt"])
    pack(tars / "mine.tar", folders, [name for name in NAMES if "blur" in name], prefix="./some/where/")
    return folders, tars


def data(root: Path, **options: object) -> ImageNetC:
    choice = {"corruptions": ("snow", "fog", "glass_blur"), "severities": (5, 3)} | options
    return ImageNetC(root=str(root), **choice)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_tars_give_the_tasks_of_folders(roots: tuple[Path, Path], num_workers: int) -> None:
    folders, tars = (data(root).tasks() for root in roots)
    assert [task.name for task in tars] == [task.name for task in folders]
    assert [task.classes for task in tars] == [task.classes for task in folders]
    assert [task.dataset.files for task in tars] == [task.dataset.files for task in folders]
    assert [task.dataset.labels.tolist() for task in tars] == [[0, 0, 281, 281, 999, 999]] * 6
    assert [task.dataset.fingerprint() for task in tars] == [task.dataset.fingerprint() for task in folders]
    streams = [TaskStream(tasks, batch_size=4, seed=3, num_workers=num_workers) for tasks in (folders, tars)]
    for here, there in zip(*streams, strict=True):
        assert torch.equal(here["images"], there["images"])
        assert torch.equal(here["labels"], there["labels"])
    assert tars[2].name == "fog/5"
    assert tars[2].dataset.left_out == [f"{roots[1] / 'weather.tar'}: fog/5/n01440764/notes.txt"]


def test_folders_and_tars_may_lie_side_by_side(roots: tuple[Path, Path]) -> None:
    folders, tars = roots
    os.rename(folders / "glass_blur", tars / "glass_blur")
    (tars / "mine.tar").unlink()
    assert [len(task.dataset) for task in data(tars).tasks()] == [6] * 6


def test_only_tars_that_are_needed_are_read(roots: tuple[Path, Path]) -> None:
    _, tars = roots
    (tars / "noise.tar").write_bytes(b"truncated")
    assert len(data(tars).tasks()) == 6
    with pytest.raises(DataError, match=r"noise\.tar: is truncated"):
        data(tars, corruptions=("shot_noise",)).tasks()


def test_what_is_missing_and_what_is_broken(roots: tuple[Path, Path]) -> None:
    folders, tars = roots
    with pytest.raises(DataError) as caught:
        data(tars, severities=(4,)).tasks()
    assert str(caught.value) == (
        f"{tars / 'snow'}: no such folder, and mine.tar, weather.tar beside it do not hold snow/4: add it, or leave it "
        "out of data.corruptions and data.severities"
    )
    problems: list[str] = []
    tasks = data(tars, severities=(4, 5)).survey(problems)
    assert [task.name for task in tasks] == ["snow/5", "fog/5", "glass_blur/5"]
    assert len(problems) == 3

    save_images(folders, ["fog/5/n00000000/a.JPEG"])
    pack(tars / "weather.tar", folders, ["fog/5/n00000000/a.JPEG"])
    with pytest.raises(DataError, match=r"weather\.tar: fog/5/n00000000: is not a class of ImageNet-1k"):
        data(tars, corruptions=("fog",), severities=(5,)).tasks()


def test_an_image_that_cannot_be_read_is_named(roots: tuple[Path, Path]) -> None:
    folders, tars = roots
    (folders / NAMES[6]).write_bytes(b"no image")
    pack(tars / "weather.tar", folders, [NAMES[6]])
    (task,) = data(tars, corruptions=("fog",), severities=(5,)).tasks()
    with pytest.raises(DataError) as caught:
        task.dataset[0]
    image = "n01440764/ILSVRC2012_val_00000001.JPEG"
    assert str(caught.value) == (
        f"{tars / 'weather.tar'}: {image}: cannot read this image (not an image, or of an unknown format)"
    )
