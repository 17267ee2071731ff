"""Clean folders corrupted on the fly: fixed data whatever the seed, of any size, stronger with severity."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.tars import save_images

from dusa_ignite.data import TaskStream
from dusa_ignite.data.corrupted_folder import CorruptedFolder, at_most
from dusa_ignite.data.corruptions import CORRUPTIONS, PHOTOGRAPHS, photograph_strengths
from dusa_ignite.data.decoding import read_image
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError

NAMES = ["cat/1.png", "cat/2.png", "dog/1.png"]


def tasks_of(root: Path, **options: Any) -> list[Task]:
    return CorruptedFolder(root=str(root), **options).find()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save_images(tmp_path / "clean", NAMES, size=40)
    return tmp_path / "clean"


def test_a_task_per_corruption_and_severity(root: Path) -> None:
    (root / "cat/notes.txt").touch()
    tasks = tasks_of(root, severities=(2, 5))
    assert [task.name for task in tasks] == [f"{name}/{severity}" for name in CORRUPTIONS for severity in (2, 5)]
    assert {task.classes for task in tasks} == {("cat", "dog")}
    assert tasks[0].dataset.files == NAMES
    assert tasks[0].dataset.labels.tolist() == [0, 0, 1]
    assert tasks[0].dataset.left_out == [str(root / "cat/notes.txt")]
    (one,) = tasks_of(root, corruptions=("fog",), classes=("dog", "cat", "owl"))
    assert (one.classes, one.dataset.labels.tolist()) == (("dog", "cat", "owl"), [1, 1, 0])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_depend_on_corruption_severity_and_position_alone(root: Path, num_workers: int) -> None:
    first = tasks_of(root, corruptions=("gaussian_noise", "fog"), severities=(3, 4))
    streams = [TaskStream(first, batch_size=2, seed=seed, num_workers=num_workers) for seed in (1, 2)]
    seen: list[dict[tuple[str, int], torch.Tensor]] = [{}, {}]
    for stream, images in zip(streams, seen, strict=True):
        for batch in stream:
            images |= {(batch["task"], int(k)): x for k, x in zip(batch["index"], batch["images"], strict=True)}
    assert len(seen[0]) == 12
    assert all(torch.equal(image, seen[1][key]) for key, image in seen[0].items())
    assert len({image.numpy().tobytes() for image in seen[0].values()}) == 12  # no two alike


def test_contrast_by_hand(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    image = Image.new("RGB", (6, 10), (0, 100, 255))
    image.paste((200, 100, 255), (0, 0, 3, 10))  # the left half
    image.save(tmp_path / "cat/1.png")
    (task,) = tasks_of(tmp_path, corruptions=("contrast",), severities=(3,))  # 24 % are left
    image, label = task.dataset[0]
    assert (image.shape, image.dtype, label) == ((3, 10, 6), torch.uint8, 0)
    assert image[:, 0, 0].tolist() == [124, 100, 255]  # 100 + 0.24 * 100
    assert image[:, 0, 5].tolist() == [76, 100, 255]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("size", [(32, 32), (24, 97), (160, 60)])
def test_any_size_and_stronger_with_severity(tmp_path: Path, corruption: str, size: tuple[int, int]) -> None:
    (tmp_path / "x").mkdir()
    ramp = torch.linspace(60, 190, size[0] * size[1]).reshape(size[1], size[0])
    waves = (ramp + 50 * torch.sin(torch.arange(size[0]) * 0.9)).clamp(0, 255).to(torch.uint8)
    Image.fromarray(waves.numpy()).save(tmp_path / "x/1.png")
    clean = read_image(tmp_path / "x/1.png").float()
    tasks = tasks_of(tmp_path, corruptions=(corruption,), severities=(1, 2, 3, 4, 5))
    images = [task.dataset[0][0] for task in tasks]
    assert {image.shape for image in images} == {(3, size[1], size[0])}
    distances = [(image.float() - clean).square().mean().item() for image in images]
    assert distances[4] > distances[0]
    if corruption in ("gaussian_noise", "shot_noise", "impulse_noise", "contrast"):
        assert distances == sorted(distances)


def test_blurs_are_shares_of_the_shorter_side() -> None:
    strengths = photograph_strengths(300, 200)
    assert strengths["gaussian_blur"] == pytest.approx((1.0, 1.8, 2.6, 3.8, 5.4))
    assert strengths["motion_blur"] == (8, 12, 16, 22, 30)
    assert strengths["fog"] == PHOTOGRAPHS["fog"]
    assert all(len(levels) == 5 for levels in PHOTOGRAPHS.values())
    assert PHOTOGRAPHS.keys() == CORRUPTIONS.keys()


def test_larger_images_are_brought_to_the_shorter_side(root: Path) -> None:
    (task,) = tasks_of(root, corruptions=("contrast",), shorter_side=16)
    assert task.dataset[0][0].shape == (3, 16, 16)
    grey = torch.full((3, 90, 60), 7, dtype=torch.uint8)
    assert torch.equal(at_most(grey, 30), grey[:, :45, :30])
    assert at_most(grey, 60) is grey


def test_a_list_leaves_every_image_as_it_was(root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("dog/1.png\ncat/2.png\n")
    (whole,) = tasks_of(root, corruptions=("gaussian_noise",))
    (some,) = tasks_of(root, corruptions=("gaussian_noise",), files=str(tmp_path / "list.txt"))
    assert some.dataset.files == ["cat/2.png", "dog/1.png"]
    assert torch.equal(some.dataset[0][0], whole.dataset[1][0])
    assert torch.equal(some.dataset[1][0], whole.dataset[2][0])


def test_fingerprints(root: Path) -> None:
    def fingerprint(**options: Any) -> str:
        options = {"corruptions": ("fog",), "severities": (5,)} | options
        dataset = tasks_of(root, **options)[0].dataset
        assert pickle.loads(pickle.dumps(dataset)).fingerprint() == dataset.fingerprint()
        return dataset.fingerprint()

    assert fingerprint() == fingerprint()
    others = [fingerprint(severities=(4,)), fingerprint(corruptions=("contrast",)), fingerprint(shorter_side=16)]
    save_images(root, ["cat/3.png"])
    assert len({*others, fingerprint()}) == 4


def test_several_tasks_are_refused(tmp_path: Path) -> None:
    save_images(tmp_path, ["day/cat/1.png", "night/cat/1.png"])
    with pytest.raises(DataError, match=r"needs the images of one task, .* here are 2: set data\.root to one of"):
        tasks_of(tmp_path)
