"""How fast images are read: the same images from folders and from a tar, by loader processes.

    python tests/reading_speed.py --folder /data/imagenet-c --tar /data/tars --corruption fog --workers 4

reads the first images of one corruption at severity 5, as data.name=imagenet_c does. Without --folder and --tar it
makes 2,000 images of ImageNet's usual size itself, in a temporary folder. The system may still have files in its memory
from an earlier reading: then the disk is not measured. The second line is the same reading again.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dusa_ignite.data import ImageNetC, Task, TaskStream
from dusa_ignite.data.imagenet_names import imagenet_wnids


def make(root: Path, corruption: str, count: int) -> tuple[Path, Path]:
    """JPEG files of 500 x 375 pixels in folders, and the same files in a tar."""
    folder, tars = root / "folders", root / "tars"
    tars.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (count, 12, 16, 3), dtype=np.uint8)
    for number, pixels in enumerate(coarse):
        path = folder / corruption / "5" / imagenet_wnids()[number % 1000] / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((500, 375)).save(path, quality=90)
    with tarfile.open(tars / "made.tar", "w") as tar:
        tar.add(folder / corruption, arcname=corruption)
    return folder, tars


def images_per_second(task: Task, *, workers: int, limit: int) -> float:
    """Read the task once, in random order."""
    stream = TaskStream([task], batch_size=64, seed=0, limit=limit, num_workers=workers)
    start = time.perf_counter()
    count = sum(len(batch["labels"]) for batch in stream)
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="of <corruption>/<severity>/<wnid>/*")
    parser.add_argument("--tar", type=Path, help="folder of the tars that hold these")
    parser.add_argument("--corruption", default="fog")
    parser.add_argument("--workers", type=int, default=2, help="loader processes")
    parser.add_argument("--images", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, tars = given.folder, given.tar
        if folder is None or tars is None:
            folder, tars = make(Path(temporary), given.corruption, given.images)
        for again in ("", ", again"):
            for name, root in (("folders", folder), ("tar", tars)):
                start = time.perf_counter()
                (task,) = ImageNetC(root=str(root), corruptions=(given.corruption,)).tasks()
                found = time.perf_counter() - start
                speed = images_per_second(task, workers=given.workers, limit=given.images)
                print(f"{name}{again}: {len(task.dataset)} images found in {found:.2f} s, read at {speed:.0f} images/s")


if __name__ == "__main__":
    main()
