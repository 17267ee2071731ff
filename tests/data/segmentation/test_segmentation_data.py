"""Data sets of segmentation, from small files of the same form."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dusa_ignite.data.segmentation.acdc import Acdc
from dusa_ignite.data.segmentation.ade20k import Ade20k
from dusa_ignite.data.segmentation.ade20k_c import Ade20kC
from dusa_ignite.data.segmentation.ade20k_names import ADE20K_NAMES
from dusa_ignite.data.segmentation.cityscapes import Cityscapes
from dusa_ignite.data.segmentation.label_maps import read_label_map
from dusa_ignite.data.segmentation.mapped_images import MappedImages
from dusa_ignite.data.segmentation.mask_folder import MaskFolder
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError


def write_image(path: Path, *, size: tuple[int, int] = (3, 4), value: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, dtype=np.uint8)).save(path)
    return path


def write_map(path: Path, values: list[list[int]], *, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(values, dtype=np.uint8))
    if mode == "P":
        image = image.convert("P")
        image.putdata([value for row in values for value in row])
        image.putpalette([7, 7, 7] * 256)  # all of one colour: the numbers must be read, not the colours
    image.save(path)
    return path


def dataset(task: Task) -> MappedImages:
    assert isinstance(task.dataset, MappedImages)
    return task.dataset


MAP = [[0, 1, 2, 150], [1, 1, 1, 1], [0, 0, 3, 3]]


def test_ade20k_shifts_unlabelled_away(tmp_path: Path) -> None:
    for name, size in (("ADE_val_00000002", (6, 8)), ("ADE_val_00000001", (3, 4))):
        write_image(tmp_path / "images" / "validation" / f"{name}.jpg", size=size)
    write_map(tmp_path / "annotations" / "validation" / "ADE_val_00000001.png", MAP)
    write_map(tmp_path / "annotations" / "validation" / "ADE_val_00000002.png", [[0] * 8] * 6)
    (tmp_path / "images" / "validation" / "notes.txt").write_text("x")
    (task,) = Ade20k(root=str(tmp_path)).tasks()
    assert task.name == "validation"
    assert (len(task.classes), task.classes[0], task.classes[7], task.classes[-1]) == (150, "wall", "bed", "flag")
    data = dataset(task)
    assert data.files == ["ADE_val_00000001.jpg", "ADE_val_00000002.jpg"]
    assert [Path(path).name for path in data.left_out] == ["notes.txt"]
    image, labels = data[0]
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 3, 4))
    assert labels.dtype == torch.int64
    assert labels.tolist() == [[255, 0, 1, 149], [0, 0, 0, 0], [255, 255, 2, 2]]
    assert data[1][1].tolist() == [[255] * 8] * 6
    assert data.labels.tolist() == [-1, -1]


def test_ade20k_c_has_the_clean_images_annotations(tmp_path: Path) -> None:
    for corruption, value in (("fog", 90), ("snow", 200)):
        for severity in (3, 5):
            write_image(tmp_path / "ADE20K_val-c" / corruption / str(severity) / "validation" / "a.jpg", value=value)
    write_map(tmp_path / "annotations" / "validation" / "a.png", MAP)
    tasks = Ade20kC(root=str(tmp_path), corruptions=("fog", "snow"), severities=(3, 5)).tasks()
    assert [task.name for task in tasks] == ["fog/3", "fog/5", "snow/3", "snow/5"]
    assert [int(dataset(task)[0][0].float().mean().round()) for task in tasks] == [90, 90, 200, 200]
    assert all(dataset(task)[0][1].tolist()[0] == [255, 0, 1, 149] for task in tasks)
    with pytest.raises(DataError, match=r"gaussian_noise/5/validation: no such folder"):
        Ade20kC(root=str(tmp_path)).tasks()


def test_ade20k_has_150_names() -> None:
    names = ADE20K_NAMES
    assert len(set(names)) == len(names) == 150
    assert [names[k] for k in (2, 12, 19, 20, 129, 149)] == [
        "sky", "person", "chair", "car", "dishwasher", "flag",
    ]  # fmt: skip


def test_cityscapes(tmp_path: Path) -> None:
    for city, name in (("ulm", "ulm_000000_000019"), ("bonn", "bonn_000001_000019")):
        write_image(tmp_path / "leftImg8bit" / "val" / city / f"{name}_leftImg8bit.png", size=(2, 4))
        labels = tmp_path / "gtFine" / "val" / city
        write_map(labels / f"{name}_gtFine_labelTrainIds.png", [[0, 18, 255, 13], [1, 1, 1, 1]])
        write_map(labels / f"{name}_gtFine_labelIds.png", [[33] * 4] * 2)
    (task,) = Cityscapes(root=str(tmp_path)).tasks()
    assert dataset(task).files == ["bonn/bonn_000001_000019_leftImg8bit.png", "ulm/ulm_000000_000019_leftImg8bit.png"]
    assert dataset(task)[1][1].tolist() == [[0, 18, 255, 13], [1, 1, 1, 1]]
    assert (len(task.classes), task.classes[13], task.classes[18]) == (19, "car", "bicycle")


def test_acdc_has_a_task_per_condition(tmp_path: Path) -> None:
    for condition in ("fog", "night", "rain", "snow"):
        for split in ("val", "test"):
            name = f"GOPR1_frame_{condition}"
            write_image(tmp_path / "rgb_anon" / condition / split / "GOPR1" / f"{name}_rgb_anon.png", size=(1, 2))
        write_map(tmp_path / "gt" / condition / "val" / "GOPR1" / f"{name}_gt_labelTrainIds.png", [[10, 255]])
    tasks = Acdc(root=str(tmp_path)).tasks()
    assert [task.name for task in tasks] == ["fog", "night", "rain", "snow"]
    assert dataset(tasks[2])[0][1].tolist() == [[10, 255]]
    assert [task.name for task in Acdc(root=str(tmp_path), conditions=("snow",)).tasks()] == ["snow"]
    (unlabelled, *_) = Acdc(root=str(tmp_path), split="test").tasks()
    assert dataset(unlabelled)[0][1].tolist() == [[255, 255]]


def test_a_folder_of_masks(tmp_path: Path) -> None:
    for task, name in (("rain", "b.jpg"), ("rain", "deep/a.png"), ("dusk", "c.jpg")):
        write_image(tmp_path / "images" / task / name)
        write_map((tmp_path / "masks" / task / name).with_suffix(".png"), [[0, 1, 2, 255]] * 3, mode="P")
    (tmp_path / "classes.txt").write_text("ground\nroad\nsky\n")
    tasks = MaskFolder(root=str(tmp_path), classes=str(tmp_path / "classes.txt")).tasks()
    assert [(task.name, dataset(task).files) for task in tasks] == [
        ("dusk", ["c.jpg"]),
        ("rain", ["b.jpg", "deep/a.png"]),
    ]
    assert tasks[0].classes == ("ground", "road", "sky")
    assert dataset(tasks[1])[1][1].tolist() == [[0, 1, 2, 255]] * 3
    (shifted, _) = MaskFolder(root=str(tmp_path), classes=("road", "sky"), zero_is_unknown=True).tasks()
    assert dataset(shifted)[0][1].tolist() == [[255, 0, 1, 255]] * 3


def test_unlabelled_images(tmp_path: Path) -> None:
    write_image(tmp_path / "photos" / "a.jpg")
    (task,) = MaskFolder(root=str(tmp_path / "photos"), classes=("road", "sky")).tasks()
    assert task.name == "photos"
    assert dataset(task)[0][1].tolist() == [[255] * 4] * 3
    write_image(tmp_path / "many" / "night" / "a.jpg")
    write_image(tmp_path / "many" / "day" / "a.jpg")
    assert [task.name for task in MaskFolder(root=str(tmp_path / "many"), classes=("a", "b")).tasks()] == [
        "day",
        "night",
    ]


def test_a_data_set_travels_and_is_narrowed(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / "images" / f"{number}.jpg", value=number * 50)
        write_map(tmp_path / "masks" / f"{number}.png", [[number] * 4] * 3)
    (task,) = MaskFolder(root=str(tmp_path), classes=("a", "b", "c")).tasks()
    assert task.name == tmp_path.name
    data = pickle.loads(pickle.dumps(dataset(task)))
    some = data.chosen([2, 0])
    assert [int(labels[0, 0]) for _, labels in (some[0], some[1])] == [2, 0]
    assert data.fingerprint() == dataset(task).fingerprint() != some.fingerprint()
    before = data.fingerprint()
    write_map(tmp_path / "masks" / "1.png", np.random.default_rng(0).integers(0, 3, (30, 40)).tolist())
    (again,) = MaskFolder(root=str(tmp_path), classes=("a", "b", "c")).tasks()
    assert dataset(again).fingerprint() != before
    assert dataset(again)[1][1].shape == (30, 40)  # a map may be larger than its image


def fails(data: object) -> str:
    with pytest.raises(DataError) as caught:
        data.tasks()  # type: ignore[attr-defined]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_wrong_with_folders(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert f"{tmp_path / 'images' / 'validation'}: no such folder" in fails(Ade20k(root=root))
    write_image(tmp_path / "images" / "validation" / "a.jpg")
    assert f"{tmp_path / 'annotations' / 'validation'}: no such folder" in fails(Ade20k(root=root))
    (tmp_path / "annotations" / "validation").mkdir(parents=True)
    assert "a.png: no such label map, for " in fails(Ade20k(root=root))
    assert "1 of 1 images have none" in fails(Ade20k(root=root))
    assert "masks: no such folder" in fails(MaskFolder(root=root, classes=("a", "b")))
    (tmp_path / "masks").mkdir()
    assert "set data.classes" in fails(MaskFolder(root=root))
    assert "300 classes; label maps here have at most 255" in fails(
        MaskFolder(root=root, classes=tuple(f"c{number}" for number in range(300)))
    )
    write_image(tmp_path / "images" / "b.jpg")
    assert "b.jpg: an image beside the folder" in fails(MaskFolder(root=root, classes=("a", "b")))
    write_image(tmp_path / "leftImg8bit" / "val" / "ulm" / "strange.png")
    assert "holds no images of task val" in fails(Cityscapes(root=root))
    assert "rgb_anon" in fails(Acdc(root=root))


def test_what_is_wrong_with_label_maps(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.png", [[0, 4]])
    with pytest.raises(DataError, match=r"map.png: holds 4, which is no class; allowed: 0 \.\. 2, and 255 for unknown"):
        read_label_map(path, num_classes=3)
    with pytest.raises(DataError, match=r"map.png: holds 4, which is no class; allowed: 1 \.\. 3, and 0 for unknown"):
        read_label_map(path, num_classes=3, zero_is_unknown=True)
    assert read_label_map(path, num_classes=4, zero_is_unknown=True).tolist() == [[255, 3]]
    with pytest.raises(DataError, match=r"colours.png: is a picture of mode RGB"):
        read_label_map(write_image(tmp_path / "colours.png"), num_classes=3)
    (tmp_path / "broken.png").write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"broken.png: cannot read this label map"):
        read_label_map(tmp_path / "broken.png", num_classes=3)
    with pytest.raises(DataError, match=r"gone.png: cannot read this label map \(No such file"):
        read_label_map(tmp_path / "gone.png", num_classes=3)
    Image.fromarray(np.array([[0, 2]], dtype=np.uint16)).save(tmp_path / "wide.png")
    assert read_label_map(tmp_path / "wide.png", num_classes=3).tolist() == [[0, 2]]


def test_a_map_that_is_turned(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg", size=(30, 40))
    write_map(tmp_path / "masks" / "a.png", [[0] * 30] * 40)
    (task,) = MaskFolder(root=str(tmp_path), classes=("a", "b")).tasks()
    with pytest.raises(DataError, match=r"a.png: 30 x 40 pixels, but its image a.jpg has 40 x 30, of another ratio"):
        task.dataset[0]
