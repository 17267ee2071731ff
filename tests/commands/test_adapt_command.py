"""The command line: wrong inputs are one clear line and exit code 2, and nothing is written."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support.files import ROOT

SMALL = [  # ConvNeXt-L, SiT-XL/2 and the VAE replaced by small ones
    "classifier.name=test_convnext",
    "classifier.pretrained=false",
    "transformer={family: repa, checkpoint: random, variant: SiT-S/8, image_size: 32}",
    "vae.pretrained=null",
    "data.num_workers=0",
    "data.corruptions=[fog]",
]


class Done(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of a refused command."""
        assert self.code == 2, self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0]


@pytest.fixture
def main(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """``launch/main.py`` from the repository's root, in this process."""
    monkeypatch.chdir(ROOT)
    launch = runpy.run_path("launch/main.py")["main"]

    def call(*arguments: str, config: str | Path = "configs/convnext.yaml") -> Done:
        code = launch(["--config", str(config), *arguments])
        return Done(code, *capfd.readouterr())

    return call


@pytest.fixture
def imagenet_c(tmp_path: Path) -> Path:
    """A corruption of two 32 x 32 JPEGs."""
    for wnid in ("n01440764", "n15075141"):
        folder = tmp_path / "imagenet-c" / "fog" / "5" / wnid
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "1.JPEG")
    return tmp_path / "imagenet-c"


def test_prints_the_resolved_config(main: Callable[..., Done]) -> None:
    done = main("--print-config", "data.root=/somewhere", "optimizer.lr=1e-4")
    assert done.code == 0
    assert "root: /somewhere" in done.out
    assert "lr: 0.0001" in done.out


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.bach_size=2"], "data.bach_size: unknown key"),
        (["optimizer.lr=fast"], "optimizer.lr"),
        (["method.num_top=999"], "num_top"),
        (["data.corruptions=[frogs]"], "frogs"),
        (["transformer.num_classes=10"], "num_classes"),
    ],
)
def test_wrong_options(main: Callable[..., Done], overrides: list[str], expected: str) -> None:
    assert expected in main(*overrides).message


def test_all_errors_are_shown_at_once(main: Callable[..., Done]) -> None:
    done = main("data.bach_size=2", "optimizer.lr=fast")
    assert done.code == 2
    assert "bach_size" in done.err
    assert "optimizer.lr" in done.err


@pytest.mark.parametrize("count", ["0", "-1"])
def test_the_number_of_processes(main: Callable[..., Done], count: str) -> None:
    assert main("--nproc", count).message == f"error: --nproc: {count} is not allowed; allowed: an integer >= 1"


def test_missing_config(main: Callable[..., Done], tmp_path: Path) -> None:
    assert str(tmp_path / "no.yaml") in main(config=tmp_path / "no.yaml").message


def test_missing_data_root(main: Callable[..., Done], tmp_path: Path) -> None:
    done = main(*SMALL, f"data.root={tmp_path / 'nowhere'}", f"output_dir={tmp_path}")
    assert str(tmp_path / "nowhere") in done.message


def test_empty_data_root(main: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = main(*SMALL, f"data.root={tmp_path / 'empty'}", f"output_dir={tmp_path}")
    assert str(tmp_path / "empty") in done.message


def test_truncated_image(main: Callable[..., Done], imagenet_c: Path, tmp_path: Path) -> None:
    broken = imagenet_c / "fog" / "5" / "n01440764" / "1.JPEG"
    broken.write_bytes(broken.read_bytes()[:400])
    done = main(*SMALL, f"data.root={imagenet_c}", f"output_dir={tmp_path}", "data.num_workers=1")
    assert str(broken) in done.message
    assert "data.on_error=skip" in done.message


def test_no_readable_image(main: Callable[..., Done], imagenet_c: Path, tmp_path: Path) -> None:
    for image in imagenet_c.rglob("*.JPEG"):
        image.write_bytes(b"")
    overrides = [f"data.root={imagenet_c}", f"output_dir={tmp_path}", "name=none", "data.on_error=skip"]
    assert main(*SMALL, *overrides).message.startswith("error: task fog/5: none of its 2 images could be read")
    assert not (tmp_path / "none" / "summary.json").exists()


def test_missing_checkpoint(main: Callable[..., Done], imagenet_c: Path, tmp_path: Path) -> None:
    overrides = [f"data.root={imagenet_c}", f"output_dir={tmp_path}", "transformer.checkpoint=/no/last.pt"]
    assert "transformer.checkpoint: /no/last.pt: no such file" in main(*SMALL, *overrides).message


def test_mismatched_checkpoint(main: Callable[..., Done], imagenet_c: Path, tmp_path: Path) -> None:
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    overrides = [f"data.root={imagenet_c}", f"output_dir={tmp_path}"]
    done = main(*SMALL, *overrides, f"transformer.checkpoint={tmp_path / 'other.safetensors'}")
    assert "does not fit the model" in done.message
    assert "some.weight" in done.message


def test_class_count_of_the_data(main: Callable[..., Done], imagenet_c: Path, tmp_path: Path) -> None:
    overrides = ["classifier.num_classes=10", "transformer.num_classes=10"]
    done = main(*SMALL, *overrides, f"data.root={imagenet_c}", f"output_dir={tmp_path}")
    assert "classifier.num_classes: 10, but data imagenet_c has 1000" in done.message


def test_a_run_on_imagenet_c_folders(main: Callable[..., Done], imagenet_c: Path, tmp_path: Path) -> None:
    done = main(*SMALL, f"data.root={imagenet_c}", f"output_dir={tmp_path}", "name=ok", "run.max_batches=1")
    assert done.code == 0, done.err
    assert done.err == ""
    assert "peak memory: " in done.out
    rows = (tmp_path / "ok" / "results.csv").read_text().splitlines()
    assert rows[1].startswith("fog/5,2,")


@pytest.mark.slow
def test_the_script_itself(tmp_path: Path) -> None:
    command = [sys.executable, "launch/main.py", "--config", str(tmp_path / "no.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
