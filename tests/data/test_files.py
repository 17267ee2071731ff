"""Reading images of every kind, errors that name the path, listing folders, and fingerprints."""

import hashlib
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dusa_ignite.data.decoding import read_image
from dusa_ignite.data.files import (
    LabelledFiles,
    existing_folder,
    image_extensions,
    labelled_files,
    left_out_line,
    scan_folder,
    scan_folders,
)
from dusa_ignite.errors import DataError


def pixel(path: Path) -> list[int]:
    return read_image(path)[:, 0, 0].tolist()


def save_noise(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def test_rgb_pixels_keep_their_place(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)  # height 2, width 3
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert image.tolist() == [
        [[0, 3, 6], [9, 12, 15]],
        [[1, 4, 7], [10, 13, 16]],
        [[2, 5, 8], [11, 14, 17]],
    ]


@pytest.mark.parametrize(
    ("mode", "colour", "name", "expected"),
    [
        ("L", 77, "a.png", [77, 77, 77]),
        ("1", 1, "a.png", [255, 255, 255]),
        ("LA", (0, 0), "a.png", [255, 255, 255]),
        ("RGBA", (10, 20, 30, 255), "a.png", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "a.png", [255, 255, 255]),
        ("RGBA", (0, 100, 200, 51), "a.png", [204, 224, 244]),  # a fifth of the colour, four fifths of white
        ("CMYK", (0, 255, 255, 0), "a.tif", [255, 0, 0]),
        ("CMYK", (0, 0, 0, 255), "a.tif", [0, 0, 0]),
    ],
)
def test_modes_become_rgb(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], name: str, expected: list[int]
) -> None:
    Image.new(mode, (4, 3), colour).save(tmp_path / name)
    assert read_image(tmp_path / name).shape == (3, 3, 4)
    assert pixel(tmp_path / name) == expected


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "CMYK"
    assert np.abs(np.array(pixel(tmp_path / "a.jpg")) - [255, 0, 0]).max() <= 2  # JPEG rounds


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "transparent.png", transparency=1)
    assert pixel(tmp_path / "opaque.png") == [12, 34, 56]
    assert pixel(tmp_path / "transparent.png") == [255, 255, 255]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)  # 128 / 257 rounds down, 129 / 257 up
    Image.fromarray(values).save(tmp_path / name)
    assert read_image(tmp_path / name)[0].tolist() == [[0, 0, 1, 1, 128, 255]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_per_channel_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (2, 2), 70000).save(tmp_path / "a.tif")
    with pytest.raises(DataError) as caught:
        read_image(tmp_path / "a.tif")
    assert str(caught.value) == f"{tmp_path / 'a.tif'}: has 32 bits per channel; save it with 8 or 16"


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned by 90 degrees clockwise
    image.putpixel((0, 0), (0, 0, 255))
    image.save(tmp_path / "a.png", exif=exif)
    upright = read_image(tmp_path / "a.png")
    assert upright.shape == (3, 4, 2)
    assert upright[:, 0, 1].tolist() == [0, 0, 255]  # the top left corner went to the top right


def test_truncated_jpeg(tmp_path: Path) -> None:
    path = save_noise(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: cannot read this image (image file is truncated")
    assert "\n" not in str(caught.value)


def test_truncated_png(tmp_path: Path) -> None:
    path = save_noise(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: cannot read this image (")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"this is no picture\n", "not an image, or of an unknown format"),
        (None, "No such file or directory"),
    ],
)
def test_no_image(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value) == f"{path}: cannot read this image ({reason})"


def test_dataset_returns_image_and_label_and_pickles(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (4, 2), (1, 2, 3)).save(tmp_path / "a" / "x.png")
    Image.new("RGB", (5, 6), (7, 8, 9)).save(tmp_path / "a" / "y.png")
    dataset = LabelledFiles(tmp_path, files=["a/x.png", "a/y.png"], labels=[4, -1])
    again = pickle.loads(pickle.dumps(dataset))
    for copy in (dataset, again):
        assert len(copy) == 2
        image, label = copy[0]
        assert (tuple(image.shape), image[:, 0, 0].tolist(), label) == ((3, 2, 4), [1, 2, 3], 4)
        image, label = copy[1]
        assert (tuple(image.shape), image[:, 0, 0].tolist(), label) == ((3, 6, 5), [7, 8, 9], -1)
        assert type(label) is int


def test_dataset_in_loader_processes(tmp_path: Path) -> None:
    for value in range(3):
        Image.new("L", (2, 2), value).save(tmp_path / f"{value}.png")
    dataset = LabelledFiles(tmp_path, files=[f"{value}.png" for value in range(3)], labels=[0, 1, 2])
    loader = DataLoader(dataset, batch_size=1, num_workers=1, collate_fn=list)
    assert [(int(image[0, 0, 0]), label) for ((image, label),) in loader] == [(0, 0), (1, 1), (2, 2)]


def test_as_many_labels_as_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 files, but 1 labels"):
        LabelledFiles(tmp_path, files=["a", "b"], labels=[0])


def test_fingerprint(tmp_path: Path) -> None:
    for root in ("here", "there"):
        (tmp_path / root).mkdir()
        (tmp_path / root / "a.png").write_bytes(b"12345")
        (tmp_path / root / "b.png").write_bytes(b"")
    names = ["a.png", "b.png", "gone.png"]
    here = LabelledFiles(tmp_path / "here", files=names, labels=[3, 4, 5])
    expected = hashlib.sha256(b"a.png\x005\x003\nb.png\x000\x004\ngone.png\x00-1\x005\n").hexdigest()
    assert here.fingerprint() == expected
    assert LabelledFiles(tmp_path / "there", files=names, labels=[3, 4, 5]).fingerprint() == expected
    assert LabelledFiles(tmp_path / "here", files=names, labels=[3, 5, 4]).fingerprint() != expected
    (tmp_path / "here" / "a.png").write_bytes(b"1234")
    assert LabelledFiles(tmp_path / "here", files=names, labels=[3, 4, 5]).fingerprint() != expected
    assert here.fingerprint() == expected  # kept


def test_fingerprint_keeps_the_order_of_thousands(tmp_path: Path) -> None:
    names = [f"{number:04}.png" for number in range(2500)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(b"x" * (number % 7))
    text = "".join(f"{name}\0{number % 7}\0{0}\n" for number, name in enumerate(names))
    dataset = LabelledFiles(tmp_path, files=names, labels=[0] * 2500)
    assert dataset.fingerprint() == hashlib.sha256(text.encode()).hexdigest()


def test_scan_folder_sorts_and_leaves_out(tmp_path: Path) -> None:
    for name in ["b.JPEG", "a.jpg", "c.PnG", "._a.jpg", ".hidden.png", "notes.txt", "Thumbs.db", "d.jpeg", "e.webp"]:
        (tmp_path / name).touch()
    for name in ["z", "y.png", ".git"]:
        (tmp_path / name).mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "linked").symlink_to(tmp_path / "z")
    listing = scan_folder(tmp_path)
    assert listing.path == tmp_path
    assert listing.folders == ["linked", "y.png", "z"]
    assert listing.images == ["a.jpg", "b.JPEG", "c.PnG", "d.jpeg", "dangling.png", "e.webp"]
    assert listing.others == ["Thumbs.db", "notes.txt"]


def test_scan_folders_keeps_the_order_given(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / f"{number}.png").touch()
    order = [str(number) for number in reversed(range(40))]
    assert [listing.images for listing in scan_folders(tmp_path / name for name in order)] == [
        [f"{name}.png"] for name in order
    ]


def test_labelled_files(tmp_path: Path) -> None:
    for name in ["cat", "dog"]:
        (tmp_path / name).mkdir()
        for image in ["2.png", "1.png"]:
            (tmp_path / name / image).touch()
    dataset = labelled_files(
        tmp_path, scan_folders([tmp_path / "cat", tmp_path / "dog"]), label_of={"cat": 7, "dog": 2, "emu": 0}
    )
    assert dataset.files == ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]
    assert dataset.labels.tolist() == [7, 7, 2, 2]


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        scan_folder(tmp_path / "gone")
    assert str(caught.value) == f"{tmp_path / 'gone'}: cannot list this folder (No such file or directory)"


def test_existing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    assert existing_folder("~/data", expected="x") == tmp_path / "data"
    with pytest.raises(DataError) as caught:
        existing_folder(tmp_path / "gone", expected="a folder of cats")
    assert str(caught.value) == f"{tmp_path / 'gone'}: no such folder; data.root must name a folder of cats"
    with pytest.raises(DataError) as caught:
        existing_folder(tmp_path / "file", expected="a folder of cats")
    assert str(caught.value) == f"{tmp_path / 'file'}: is a file; data.root must name a folder of cats"


def test_extensions_are_those_that_pillow_decodes() -> None:
    known = image_extensions()
    assert {".jpg", ".jfif", ".jpe", ".png", ".apng", ".gif", ".bmp", ".tif", ".webp", ".ppm", ".mpo", ".jp2"} <= known
    assert not {".h5", ".mpeg", ".eps", ".wmf", ".pdf", ".txt", ".npy", ""} & known


@pytest.mark.parametrize("name", ["a.gif", "a.jfif", "a.avif", "a.tif", "a.BMP", "a.jp2", "a.webp", "a.tga"])
def test_all_that_pillow_can_write_is_found_and_read(tmp_path: Path, name: str) -> None:
    try:
        Image.new("RGB", (8, 6), (200, 100, 50)).save(tmp_path / name)
    except (KeyError, OSError, ValueError):
        pytest.skip(f"this Pillow cannot write {name}")
    assert scan_folder(tmp_path).images == [name]
    image = read_image(tmp_path / name)
    assert (image.shape, image.dtype) == ((3, 6, 8), torch.uint8)
    assert (
        image.float().mean(dim=(1, 2)) - torch.tensor([200.0, 100, 50])
    ).abs().max() <= 12  # GIF's palette is coarse


def test_16_bit_colour_keeps_the_upper_8_bits(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = struct.pack(">BHHH", 0, 0x1234, 0x80FF, 0xFFFF)  # no filter, then one pixel
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert pixel(tmp_path / "a.png") == [0x12, 0x80, 0xFF]


def test_what_is_left_out_is_counted_and_named() -> None:
    paths = ["a/1.heic", "a/2.HEIC", "a/notes.txt", "b/README"]
    assert left_out_line(paths) == (
        "left out 4 files that are no images by their names (2 .heic, 1 .txt, 1 without extension), "
        "such as a/1.heic, a/2.HEIC, a/notes.txt, ..."
    )
    assert left_out_line(["x.npy"]) == "left out 1 file that is no image by its name (1 .npy), such as x.npy"
