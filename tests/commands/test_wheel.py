"""What is installed: a wheel, also one built from the source distribution, holds the configs and all other data."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.files import CONFIGS, ROOT

SOURCE = ("dusa_ignite", "configs", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
DATA = {
    "dusa_ignite/py.typed",
    "dusa_ignite/assets/paper_tables.csv",
    "dusa_ignite/assets/digits/classifier.safetensors",
    "dusa_ignite/assets/digits/transformer.safetensors",
    *(f"dusa_ignite/configs/{path.name}" for path in CONFIGS.iterdir()),
}
SDIST = "import sys; from setuptools.build_meta import build_sdist; print(build_sdist(sys.argv[1]))"


def build(folder: Path, to: Path) -> zipfile.ZipFile:
    """A wheel of a source folder."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={to}", f"{folder}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    (wheel,) = to.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the files that belong to the package: a build leaves its own files in the tree."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
def test_a_wheel_holds_all_data(source: Path, tmp_path: Path) -> None:
    with build(source, tmp_path / "wheel") as wheel:
        names = set(wheel.namelist())
        assert names >= DATA
        assert wheel.read("dusa_ignite/configs/digits.yaml") == (CONFIGS / "digits.yaml").read_bytes()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "dusa-ignite = dusa_ignite.commands.main:main" in wheel.read(entry_points).decode()
        wheel.extractall(tmp_path / "installed")
    command = [sys.executable, "-m", "dusa_ignite", "configs", "digits"]
    done = subprocess.run(command, cwd=tmp_path / "installed", capture_output=True, timeout=60)
    assert done.stdout == (CONFIGS / "digits.yaml").read_bytes()


@pytest.mark.slow
def test_so_does_a_wheel_of_the_source_distribution(source: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"  # with the setuptools that the build asks for
    python = str(environment / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [python, "-m", "pip", "install", "--quiet", "setuptools>=68"],
        [python, "-c", SDIST, str(tmp_path)],
    ):
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.splitlines()[-1]) as archive:
        archive.extractall(tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert not (unpacked / "dusa_ignite" / "configs").is_symlink()
    with build(unpacked, tmp_path / "wheel") as wheel:
        assert set(wheel.namelist()) >= DATA
