"""ImageNet-C: labels over all 1,000 classes, tasks in order, and what each wrong folder is told."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from dusa_ignite.data.imagenet_c import ALL_CORRUPTIONS, BENCHMARK_CORRUPTIONS, ImageNetC, imagenet_wnids
from dusa_ignite.data.task import Task
from dusa_ignite.errors import DataError


def add_image(root: Path, path: str, colour: tuple[int, int, int] = (0, 0, 0)) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(root / path, format="PNG")


def tasks_of(root: Path, *, corruptions: Any = ("fog",), severities: Sequence[int] = (5,)) -> list[Task]:
    return ImageNetC(root=str(root), corruptions=corruptions, severities=severities).tasks()


def message(root: Path, corruptions: Sequence[str] = ("fog",)) -> str:
    with pytest.raises(DataError) as caught:
        tasks_of(root, corruptions=corruptions)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wnids() -> None:
    wnids = imagenet_wnids()
    assert len(set(wnids)) == 1000
    assert list(wnids) == sorted(wnids)
    # tench, goldfish, tabby, fire engine, toilet tissue
    assert [wnids[k] for k in (0, 1, 281, 555, 999)] == [
        "n01440764",
        "n01443537",
        "n02123045",
        "n03345487",
        "n15075141",
    ]


def test_corruption_names() -> None:
    assert len(BENCHMARK_CORRUPTIONS) == 15
    assert BENCHMARK_CORRUPTIONS[0] == "gaussian_noise"
    assert BENCHMARK_CORRUPTIONS[-1] == "jpeg_compression"
    assert len(set(ALL_CORRUPTIONS)) == 19
    assert set(ALL_CORRUPTIONS) - set(BENCHMARK_CORRUPTIONS) == {
        "speckle_noise",
        "gaussian_blur",
        "spatter",
        "saturate",
    }


def test_data_sets_are_known_without_loading_timm_or_scikit_learn() -> None:
    code = "import sys, dusa_ignite.data; sys.exit(bool({'timm', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_labels_are_positions_among_all_classes(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/5/n15075141/ILSVRC2012_val_00000002.JPEG", (9, 9, 9))
    add_image(tmp_path, "fog/5/n02123045/b.JPEG")
    add_image(tmp_path, "fog/5/n02123045/a.JPEG", (1, 2, 3))
    add_image(tmp_path, "fog/5/n01440764/z.jpg")
    (tmp_path / "fog/5/n02123045/._a.JPEG").write_bytes(b"resource fork")
    (tmp_path / "fog/5/README.txt").touch()
    (task,) = tasks_of(tmp_path, corruptions=["fog"], severities=[5])
    assert task.name == "fog/5"
    assert task.classes == imagenet_wnids()
    assert task.dataset.files == [
        "n01440764/z.jpg",
        "n02123045/a.JPEG",
        "n02123045/b.JPEG",
        "n15075141/ILSVRC2012_val_00000002.JPEG",
    ]
    assert [task.dataset[k][1] for k in range(4)] == [0, 281, 281, 999]
    assert task.dataset[1][0][:, 0, 0].tolist() == [1, 2, 3]
    assert task.dataset[3][0].shape == (3, 4, 4)


def test_tasks_in_the_order_listed_and_no_more_than_those(tmp_path: Path) -> None:
    for task in ["snow/3", "snow/5", "fog/3", "fog/5", "fog/1"]:
        add_image(tmp_path, f"{task}/n01440764/a.JPEG")
    add_image(tmp_path, "not_a_corruption/7/whatever/a.JPEG")
    tasks = tasks_of(tmp_path, corruptions=["snow", "fog"], severities=[5, 3])
    assert [task.name for task in tasks] == ["snow/5", "snow/3", "fog/5", "fog/3"]


@pytest.mark.parametrize(("word", "count"), [("benchmark", 15), ("all", 19)])
def test_words_for_lists(tmp_path: Path, word: str, count: int) -> None:
    for corruption in ALL_CORRUPTIONS:
        add_image(tmp_path, f"{corruption}/5/n01440764/a.JPEG")
    tasks = tasks_of(tmp_path, corruptions=word, severities=[5])
    assert [task.name for task in tasks] == [f"{corruption}/5" for corruption in ALL_CORRUPTIONS[:count]]


def test_fingerprints_tell_tasks_apart(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/5/n01440764/a.JPEG")
    add_image(tmp_path, "fog/4/n01440764/a.JPEG")
    add_image(tmp_path, "fog/3/n01440764/b.JPEG")
    five, four, three = tasks_of(tmp_path, corruptions=["fog"], severities=[5, 4, 3])
    assert five.dataset.fingerprint() == four.dataset.fingerprint()  # the same names and sizes
    assert five.dataset.fingerprint() != three.dataset.fingerprint()


def test_root_missing_or_a_file(tmp_path: Path) -> None:
    layout = (
        "data.root must name the folder of ImageNet-C, which holds <corruption>/<severity>/<wnid>/*.JPEG, or its tars"
    )
    assert message(tmp_path / "gone") == f"{tmp_path / 'gone'}: no such folder; {layout}"
    (tmp_path / "file").touch()
    assert message(tmp_path / "file") == f"{tmp_path / 'file'}: is a file; {layout}"


def test_corruption_missing(tmp_path: Path) -> None:
    add_image(tmp_path, "snow/5/n01440764/a.JPEG")
    assert message(tmp_path) == (
        f"{tmp_path / 'fog'}: no such folder; {tmp_path} holds snow: add fog, or leave it out of data.corruptions"
    )


def test_severity_missing(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/1/n01440764/a.JPEG")
    add_image(tmp_path, "fog/3/n01440764/a.JPEG")
    assert message(tmp_path) == (
        f"{tmp_path / 'fog/5'}: no such folder; {tmp_path / 'fog'} holds severity 1, 3: "
        "add the missing one, or leave it out of data.severities"
    )


def test_missing_folders_are_found_before_anything_is_listed(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/5/nonsense/a.JPEG")
    assert message(tmp_path, ["fog", "snow"]).startswith(f"{tmp_path / 'snow'}: no such folder; ")


def test_root_one_level_too_high(tmp_path: Path) -> None:
    add_image(tmp_path, "ImageNet-C/fog/5/n01440764/a.JPEG")
    (tmp_path / "other").mkdir()
    assert message(tmp_path) == (
        f"{tmp_path / 'fog'}: no such folder; data.root is one level too high: set data.root={tmp_path / 'ImageNet-C'}"
    )


def test_corruptions_in_groups(tmp_path: Path) -> None:
    add_image(tmp_path, "weather/fog/5/n01440764/a.JPEG")
    add_image(tmp_path, "noise/shot_noise/5/n01440764/a.JPEG")
    assert message(tmp_path) == (
        f"{tmp_path / 'fog'}: no such folder; the corruptions lie one level down, in noise, weather: "
        "move or link them into one folder, data.root"
    )


def test_root_too_deep(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/5/n01440764/a.JPEG")
    assert message(tmp_path / "fog") == (
        f"{tmp_path / 'fog/fog'}: no such folder; data.root is one level too deep, it holds severities: "
        f"set data.root={tmp_path}"
    )
    assert message(tmp_path / "fog/5") == (
        f"{tmp_path / 'fog/5/fog'}: no such folder; data.root is too deep, it holds class folders: "
        f"set data.root={tmp_path}"
    )


def test_root_is_something_else(tmp_path: Path) -> None:
    start = f"{tmp_path / 'fog'}: no such folder; data.root must hold <corruption>/<severity>/<wnid>/*.JPEG, and here "
    assert message(tmp_path) == start + "it holds no folders"
    for name in ["a", "b", "c", "d"]:
        (tmp_path / name).mkdir()
        assert name != "a" or message(tmp_path) == start + "it holds 1 other folder (a)"
    assert message(tmp_path) == start + "it holds 4 other folders (a, b, c, ...)"


def test_no_severity_level(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/n01440764/a.JPEG")
    assert message(tmp_path) == (
        f"{tmp_path / 'fog/5'}: no such folder; {tmp_path / 'fog'} holds class folders where severities 1 to 5 "
        f"were expected: move them into {tmp_path / 'fog'}/<severity>"
    )


def test_corruption_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "fog/strong").mkdir(parents=True)
    assert message(tmp_path) == (
        f"{tmp_path / 'fog/5'}: no such folder; expected {tmp_path / 'fog'}/<severity>/<wnid>/*.JPEG, "
        "and the corruption's folder holds 1 other folder (strong)"
    )


def test_severity_without_images(tmp_path: Path) -> None:
    folder = tmp_path / "fog/5"
    folder.mkdir(parents=True)
    assert message(tmp_path) == f"{folder}: holds no images; expected {folder}/<wnid>/*.JPEG"
    (folder / "n01440764").mkdir()
    (folder / "n01440764/notes.txt").touch()
    assert message(tmp_path) == f"{folder}: holds no images; expected {folder}/<wnid>/*.JPEG"


def test_folder_that_is_no_class(tmp_path: Path) -> None:
    add_image(tmp_path, "fog/5/n01440764/a.JPEG")
    add_image(tmp_path, "fog/5/n0144076/a.JPEG")
    folder = tmp_path / "fog/5"
    assert message(tmp_path) == (
        f"{folder / 'n0144076'}: is not a class of ImageNet-1k (nearest: n01440764); expected {folder}/<wnid>/*.JPEG"
    )


def test_images_at_the_wrong_level(tmp_path: Path) -> None:
    folder = tmp_path / "fog/5"
    add_image(tmp_path, "fog/5/n01440764/sub/a.JPEG")
    assert message(tmp_path) == f"{folder / 'n01440764/sub'}: a folder where images were expected"
    add_image(tmp_path, "fog/5/a.JPEG")
    assert message(tmp_path) == f"{folder / 'a.JPEG'}: lies outside a class folder; expected {folder}/<wnid>/*.JPEG"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"corruptions": ["fogg"]},
            "'fogg' is no corruption, did you mean fog?; allowed: benchmark | all | a list out of",
        ),
        ({"corruptions": ["fog", "fog"]}, "fog listed more than once"),
        ({"corruptions": []}, "[] is not allowed; allowed: benchmark | all | a list such as [gaussian_noise]"),
        ({"corruptions": "fog"}, "'fog' is not allowed; allowed: benchmark | all | a list such as [gaussian_noise]"),
        ({"severities": [6]}, "less than or equal to 5"),
        ({"severities": [0]}, "greater than or equal to 1"),
        ({"severities": ["5"]}, "valid integer"),
        ({"severities": [5, 5]}, "5 listed more than once"),
        ({"severities": []}, "at least 1 item"),
        ({"root": ""}, "at least 1 character"),
    ],
)
def test_wrong_choices(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ImageNetC.model_validate({"root": "/x", **options})
    problem = caught.value.errors()[0]
    assert problem["loc"][0] == next(iter(options))
    assert expected in problem["msg"]
