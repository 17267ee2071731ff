"""Equal images through every reader give equal tasks: the same labels and pixels, with loader processes too."""

import pickle
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dusa_ignite.data import Cifar10C, DataSet, ImageFolder, ImageList, TaskStream, WebDataset
from dusa_ignite.data.cifar10_c import CLASSES
from dusa_ignite.data.decoding import read_image

SEVERITY = 2
LABELS = [9, 3, 0, 3]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """(20, 32, 32, 3): four images at five severities."""
    return np.random.default_rng(5).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> dict[str, DataSet]:
    """The four images of severity 2 in every form, in an order that is each reader's own."""
    root = tmp_path_factory.mktemp("data")
    images = pixels[4 * (SEVERITY - 1) : 4 * SEVERITY]
    cifar = root / "cifar"
    cifar.mkdir()
    np.save(cifar / "fog.npy", pixels)
    np.save(cifar / "labels.npy", np.array(LABELS * 5, dtype=np.uint8))
    lines = ["path,label"]
    with tarfile.open(root / "shard-0.tar", "w") as zero, tarfile.open(root / "shard-1.tar", "w") as one:
        for number, (image, label) in enumerate(zip(images, LABELS, strict=True)):
            path = root / "folder" / CLASSES[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            lines.append(f"folder/{CLASSES[label]}/{number}.png,{label if number % 2 else CLASSES[label]}")
            for name, content in ((f"{number}.png", path.read_bytes()), (f"{number}.cls", str(label).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                (zero if number < 3 else one).addfile(member, BytesIO(content))
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return {
        "cifar": Cifar10C(root=str(cifar), corruptions=("fog",), severities=(SEVERITY,)),
        "folder": ImageFolder(root=str(root / "folder"), classes=CLASSES),
        "list": ImageList(root=str(root / "list.csv"), classes=CLASSES),
        "webdataset": WebDataset(root=str(root / "shard-{0..1}.tar"), classes=CLASSES),
    }


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["cifar", "folder", "list", "webdataset"])
def test_equal_images_give_equal_tasks(
    data_sets: dict[str, DataSet], pixels: np.ndarray, name: str, num_workers: int
) -> None:
    (task,) = data_sets[name].find()
    assert task.classes == CLASSES
    order = [2, 1, 3, 0] if name == "folder" else [0, 1, 2, 3]  # folders are sorted by class
    stream = TaskStream([task], batch_size=3, seed=0, shuffle=False, num_workers=num_workers)
    batches = list(stream)
    assert [len(batch["labels"]) for batch in batches] == [3, 1]
    assert torch.cat([batch["labels"] for batch in batches]).tolist() == [LABELS[number] for number in order]
    expected = torch.from_numpy(pixels[4:8][order]).permute(0, 3, 1, 2)
    assert torch.equal(torch.cat([batch["images"] for batch in batches]), expected)


@pytest.mark.parametrize("name", ["cifar", "folder", "list", "webdataset"])
def test_they_travel_to_loader_processes_without_their_images(data_sets: dict[str, DataSet], name: str) -> None:
    (task,) = data_sets[name].find()
    pickled = pickle.dumps(task.dataset)
    assert len(pickled) < 2500  # the four images have 12,288 bytes
    again = pickle.loads(pickled)
    assert again.fingerprint() == task.dataset.fingerprint()
    assert torch.equal(again[1][0], task.dataset[1][0])


def test_png_holds_the_pixels(data_sets: dict[str, DataSet], pixels: np.ndarray) -> None:
    path = Path(data_sets["folder"].root) / "truck/0.png"  # type: ignore[attr-defined]
    assert torch.equal(read_image(path), torch.from_numpy(pixels[4]).permute(2, 0, 1))
