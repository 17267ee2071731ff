"""Benchmarks that come as folders: read as docs/data.md says, on tiny folders of the same form."""

from pathlib import Path

import numpy as np
from support.tars import save_images

from dusa_ignite.data import ImageFolder
from dusa_ignite.data.imagenet_names import imagenet_wnids
from dusa_ignite.data.present import present_classes


def test_imagenet_r_a_and_sketch_hold_some_of_the_thousand_classes(tmp_path: Path) -> None:
    """``imagenet-r/<wnid>/*.jpg``, with a README beside the classes."""
    save_images(tmp_path / "imagenet-r", ["n01443537/art_0.jpg", "n02123045/toy_1.jpg", "n01443537/misc_2.jpg"])
    (tmp_path / "imagenet-r/README.txt").touch()
    (task,) = ImageFolder(root=str(tmp_path / "imagenet-r"), classes="imagenet-1k", score_over="present").find()
    assert (task.name, len(task.classes)) == ("imagenet-r", 1000)
    assert task.dataset.labels.tolist() == [1, 1, 281]
    assert present_classes(task, num_classes=1000).nonzero().flatten().tolist() == [1, 281]
    assert task.dataset.left_out == [str(tmp_path / "imagenet-r/README.txt")]


def test_imagenet_v2_has_the_numbers_of_the_classes(tmp_path: Path) -> None:
    """``imagenetv2-matched-frequency-format-val/<0 .. 999>/*.jpeg``, each the label of its class."""
    root = tmp_path / "imagenetv2-matched-frequency-format-val"
    save_images(root, [f"{label}/a.jpeg" for label in range(1000)], size=1)
    (task,) = ImageFolder(root=str(root)).find()
    assert task.classes == tuple(map(str, range(1000)))
    assert sorted(task.dataset.labels.tolist()) == list(range(1000))
    assert [int(file.partition("/")[0]) for file in task.dataset.files] == task.dataset.labels.tolist()


def test_imagenet_3dcc_has_tasks_two_levels_deep(tmp_path: Path) -> None:
    """``<root>/<corruption>/<severity>/<wnid>/*.JPEG``, with corruptions of its own."""
    names = [f"{name}/{severity}/n02123045/a.JPEG" for name in ("far_focus", "flash") for severity in (1, 2, 3, 4, 5)]
    save_images(tmp_path, names)
    tasks = ImageFolder(root=str(tmp_path), classes="imagenet-1k", only=("*/5",)).find()
    assert [task.name for task in tasks] == ["far_focus/5", "flash/5"]
    assert np.concatenate([task.dataset.labels for task in tasks]).tolist() == [281, 281]


def test_tiny_imagenet_c_has_two_hundred_classes_of_its_own(tmp_path: Path) -> None:
    """``Tiny-ImageNet-C/<corruption>/<severity>/<wnid>/*.JPEG``: 200 of ImageNet's wnids, in sorted order."""
    wnids = imagenet_wnids()[::5]
    save_images(tmp_path, [f"fog/{severity}/{wnid}/a.JPEG" for severity in (3, 5) for wnid in reversed(wnids)], size=1)
    tasks = ImageFolder(root=str(tmp_path)).find()
    assert [task.name for task in tasks] == ["fog/3", "fog/5"]
    assert tasks[0].classes == wnids
    assert tasks[1].dataset.labels.tolist() == list(range(200))
