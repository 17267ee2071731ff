"""Fashion-MNIST as folders: clean images to learn from, new ones to rehearse on, and new ones from a poor camera."""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

SOURCE = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it
CLASSES = ["top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]


def read(name, header):
    return np.frombuffer(gzip.decompress((SOURCE / name).read_bytes()), np.uint8, offset=header)


def save(pixels, *parts):
    path = Path("fashion", *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


random = np.random.default_rng(0)
for part, folder in (("train", "clean"), ("t10k", "new")):
    images = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    for number, (image, label) in enumerate(zip(images, read(f"{part}-labels-idx1-ubyte.gz", 8), strict=True)):
        save(image, folder, CLASSES[label], f"{number:05}.png")
        if folder == "new" and number < 2000:  # little light, and a noisy sensor
            save(0.4 * image + random.normal(40, 30, image.shape), "shifted", f"{number:05}.png")
