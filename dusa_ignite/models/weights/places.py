"""From what a config says to the files that hold the weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from dusa_ignite.errors import CheckpointError
from dusa_ignite.utils.quiet import quiet

WEIGHTS_FILES = (  # as transformers, timm and diffusers name them, the preferred first
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.bin",
)
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
FOLDER_NAMES = ("local-dir:", "hf-hub:", "hf_hub:")


@dataclass(frozen=True)
class Found:
    """Where weights lie.

    Attributes:
        files: one, or the shards of one set of weights.
        config: ``config.json`` of the folder or repository they come from, if it has one.
    """

    files: tuple[Path, ...]
    config: Path | None = None


def locate(checkpoint: str | Path, *, key: str, embedded: str | None = None) -> Found:
    """The files that a config's ``checkpoint`` stands for.

    Args:
        checkpoint: a file; a folder as Hugging Face and timm write it; ``hub:<owner>/<repo>:<file>``;
            ``hf-hub:<owner>/<repo>[@revision]``; ``local-dir:<folder>``; or ``embedded``.
        key: the config key, for error messages.
        embedded: name of the digits weights in the package that ``embedded`` stands for.

    Raises:
        CheckpointError: there is no such file, a folder holds no weights or several, or the hub cannot be reached.
    """
    checkpoint = str(checkpoint)
    where = f"{key}: {checkpoint}"
    if checkpoint == "embedded" and embedded:
        return Found((Path(str(resources.files("dusa_ignite"))) / "assets" / "digits" / f"{embedded}.safetensors",))
    if checkpoint.startswith("hub:"):
        match = re.fullmatch(r"hub:([^:]+):([^:]+)", checkpoint)
        if not match:
            raise CheckpointError(
                f"{where}: write hub:<owner>/<repo>:<file>, or hf-hub:<owner>/<repo> for what a repository holds"
            )
        return Found((download(match[1], match[2], where=where),))
    if checkpoint.startswith(("hf-hub:", "hf_hub:")):
        return _repository(checkpoint.split(":", 1)[1], where=where)
    path = Path(checkpoint.removeprefix("local-dir:"))
    try:
        path = path.expanduser()
        if path.is_dir():
            return _folder(path, where=where)
        if path.is_file() and not checkpoint.startswith("local-dir:"):
            return Found(_shards(path, where=where))
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a NUL in it, ~nobody
        raise CheckpointError(f"{where}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error
    hint = ""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", checkpoint) and not checkpoint.endswith(SUFFIXES):
        hint = f", or write hf-hub:{checkpoint} for a repository on the hub"
    kind = "folder" if checkpoint.startswith("local-dir:") else "file"
    raise CheckpointError(f"{where}: no such {kind}; give the path of a weights file{hint}")


def download(repo: str, filename: str, *, where: str, revision: str | None = None) -> Path:
    """A file of the hub, from the local cache if it is there.

    Raises:
        CheckpointError: it is not in the cache and cannot be fetched.
    """
    try:
        return _fetch(repo, filename, revision)
    except Exception as error:  # the hub's errors share no base class: offline, unknown repository, refused access, ...
        raise CheckpointError(
            f"{where}: not in the local cache and could not be downloaded ({type(error).__name__}); "
            f"offline, fetch the file elsewhere and give its path"
        ) from error


def _fetch(repo: str, filename: str, revision: str | None) -> Path:
    with quiet():
        return Path(hf_hub_download(repo, filename, revision=revision) if revision else hf_hub_download(repo, filename))


def _repository(name: str, *, where: str) -> Found:
    """What timm and transformers would read of a repository, ``<owner>/<repo>[@revision]``."""
    repo, _, revision = name.partition("@")
    first: Exception | None = None
    try:
        config = _fetch(repo, "config.json", revision or None)
    except Exception as error:  # see download; without weights it does not matter
        config, first = None, error
    for filename in WEIGHTS_FILES:
        try:
            file = _fetch(repo, filename, revision or None)
        except EntryNotFoundError as error:
            first = first or error
        except Exception as error:  # see download
            first = first or error
            break
        else:
            names = dict.fromkeys(_weight_map(file, where=where).values()) if file.suffix == ".json" else {}
            shards = tuple(download(repo, shard, where=where, revision=revision or None) for shard in names)
            return Found(shards or (file,), config)
    raise CheckpointError(
        f"{where}: neither in the local cache, nor could it be downloaded ({type(first).__name__}); offline, fetch the "
        f"repository elsewhere and give its folder"
    ) from first


def _folder(path: Path, *, where: str) -> Found:
    config = path / "config.json"
    beside = config if config.is_file() else None
    for name in WEIGHTS_FILES:
        if (path / name).is_file():
            return Found(_shards(path / name, where=where), beside)
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if len(files) == 1:
        return Found((files[0],), beside)
    if files:
        names = ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")
        raise CheckpointError(f"{where}: a folder with {len(files)} weights files ({names}); give one of them")
    if (path / "saved_model.pb").is_file():
        raise CheckpointError(f"{where}: a TensorFlow model; convert it to PyTorch and give a file with its state dict")
    raise CheckpointError(
        f"{where}: a folder without weights; give a weights file, or a folder with model.safetensors or "
        f"pytorch_model.bin"
    )


def _shards(path: Path, *, where: str) -> tuple[Path, ...]:
    if not path.name.endswith(".index.json"):
        return (path,)
    files = tuple(path.parent / name for name in dict.fromkeys(_weight_map(path, where=where).values()))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(f"{where}: {path.name} names files that are not there: {', '.join(missing[:3])}")
    return files


def _weight_map(index: Path, *, where: str) -> dict[str, str]:
    """Parameter names to shards, as ``*.index.json`` lists them; shards lie beside it."""
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        good = bool(found) and all(isinstance(name, str) and Path(name).name == name for name in found.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise CheckpointError(f"{where}: {index.name} is no list of weights files (weight_map: name to file beside it)")
    return found
