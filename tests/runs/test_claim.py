"""How a run starts, and that all processes agree on it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.runs.claim import check_same_origins, load_checkpoint, start_mode
from dusa_ignite.runs.folder import create
from dusa_ignite.runs.provenance import launch_id
from dusa_ignite.utils.format import FORMAT_VERSION

NOW: dict[str, Any] = {
    "format_version": FORMAT_VERSION,
    "weights_sha256": {"classifier": "a", "vae": "b"},
    "data_fingerprints": {"fog/5": "c"},
    "own_parts": {"mine.py:Mine": "d"},
    "compute_dtype": "float32",
    "device": "cpu",
    "versions": {"torch": "2.8.0"},
    "git_commit": "1234",
}


def configure(folder: Path, **changes: Any) -> Config:
    path = folder / "given.yaml"
    path.write_text(
        "name: mine\ndata: {name: digits}\nclassifier: {name: test_convnext, num_classes: 10}\nmethod: {name: source}\n"
    )
    return load_config(path).model_copy(update=changes)


def test_how_to_start(tmp_path: Path) -> None:
    folder, plain = tmp_path / "run", configure(tmp_path)
    resume, other = plain.model_copy(update={"resume": "auto"}), configure(tmp_path, resume="auto", seed=7)
    for config in (plain, resume):
        assert start_mode(folder, config, overwrite=False) == "new"
    create(folder, plain)
    assert start_mode(folder, resume, overwrite=False) == "unfinished"
    assert start_mode(folder, resume, overwrite=True) == "new"
    (folder / "summary.json").touch()
    assert start_mode(folder, resume, overwrite=False) == "finished"
    assert start_mode(folder, other, overwrite=True) == "new"
    with pytest.raises(ConfigError, match="seed: 2024 before, 7 now"):
        start_mode(folder, other, overwrite=False)
    with pytest.raises(ConfigError, match="holds a finished run"):
        start_mode(folder, plain, overwrite=False)


def test_a_restart_overwrites_what_it_has_not_begun_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure(tmp_path)
    create(tmp_path, config)
    for launch, resumed, start in (
        ("another", [], "new"),
        (launch_id(), [], "unfinished"),
        ("another", [{"launch": launch_id()}], "unfinished"),
    ):
        described = {"format_version": FORMAT_VERSION, "launch": launch, "resumed": resumed}
        (tmp_path / "run.json").write_text(json.dumps(described))
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
        assert start_mode(tmp_path, config, overwrite=True) == "new"
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
        assert start_mode(tmp_path, config, overwrite=True) == start


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ({"weights_sha256": {"classifier": "x", "vae": "b"}}, "the weights of classifier"),
        ({"weights_sha256": {"classifier": "a"}}, "the weights of vae"),
        ({"data_fingerprints": {"fog/5": "x", "snow/5": "c"}}, "the data of fog/5, the data of snow/5"),
        ({"own_parts": {"mine.py:Mine": "x"}}, "the file of mine.py:Mine"),
        ({"own_parts": {}}, "the file of mine.py:Mine"),
        ({"compute_dtype": "bfloat16", "device": "cuda"}, "the precision (bfloat16 before, float32 now)"),
    ],
)
def test_other_origins_are_refused(tmp_path: Path, before: dict[str, Any], said: str) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**NOW, **before}))
    with pytest.raises(CheckpointError) as caught:
        check_same_origins(tmp_path, NOW)
    assert str(caught.value) == (
        f"{tmp_path}: cannot go on, this is not what the run began with: {said}; put it back, or start again with "
        "--overwrite"
    )


def test_other_code_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("dusa_ignite.runs.claim")
    monkeypatch.setattr(log, "propagate", False)
    log.addHandler(caplog.handler)
    before = {**NOW, "versions": {"torch": "2.7.1"}, "git_commit": "4321", "device": "cuda"}
    for description in (NOW, before):
        (tmp_path / "run.json").write_text(json.dumps(description))
        check_same_origins(tmp_path, NOW)
    log.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: torch 2.7.1 before, 2.8.0 now; results may differ",
        f"{tmp_path}: git commit 4321 before, 1234 now; results may differ",
        f"{tmp_path}: device cuda before, cpu now; results may differ",
    ]


def test_without_a_description_nothing_is_resumed(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, NOW) is None  # there is nothing to resume
    (tmp_path / "checkpoints").mkdir()
    torch.save({"format_version": FORMAT_VERSION, "number": 1}, tmp_path / "checkpoints" / "checkpoint_1.pt")
    for content in (None, "{"):
        if content:
            (tmp_path / "run.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"run\.json: missing or unreadable, so the run cannot go on; start"):
            load_checkpoint(tmp_path, NOW)
    (tmp_path / "run.json").write_text(json.dumps(NOW))
    assert load_checkpoint(tmp_path, NOW) == {"number": 1}


# Formats


def earlier_format(tmp_path: Path, **described: Any) -> Path:
    """A run's folder with its config, a result, and a description without the present format's number."""
    folder = tmp_path / "run"
    create(folder, configure(tmp_path))
    (folder / "results.csv").touch()
    (folder / "run.json").write_text(json.dumps({"seed": 2024, **described}))
    return folder


@pytest.mark.parametrize(
    ("described", "number"), [({}, 1), ({"format_version": FORMAT_VERSION + 1}, FORMAT_VERSION + 1)]
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_another_format_is_refused_in_a_line(
    tmp_path: Path, described: dict[str, int], number: int, finished: bool
) -> None:
    folder = earlier_format(tmp_path, **described)
    if finished:
        (folder / "summary.json").touch()
    with pytest.raises(ConfigError) as caught:
        start_mode(folder, configure(tmp_path, resume="auto"), overwrite=False)
    assert str(caught.value) == (
        f"{folder}: was written in format {number}, which another version of dusa_ignite reads; this one has format "
        f"{FORMAT_VERSION}: install that version, or start again with --overwrite"
    )
    assert start_mode(folder, configure(tmp_path, resume="auto"), overwrite=True) == "new"


def test_a_folder_of_another_format_is_not_replaced_silently(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a run that has not finished"):
        start_mode(earlier_format(tmp_path), configure(tmp_path), overwrite=False)


# Several processes


def in_two_processes(rank: int, folder: str) -> None:
    """The second process never looks for a checkpoint itself."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        description = NOW if rank == 0 else {}
        assert load_checkpoint(Path(folder), description) == {"number": 4}
        assert (Path(folder) / "checkpoints" / "checkpoint_5.pt.damaged").exists()
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_the_first_process_decides_for_all(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    torch.save({"format_version": FORMAT_VERSION, "number": 4}, tmp_path / "checkpoints" / "checkpoint_4.pt")
    (tmp_path / "checkpoints" / "checkpoint_5.pt").write_bytes(b"damaged")
    (tmp_path / "run.json").write_text(json.dumps(NOW))
    multiprocessing.spawn(in_two_processes, args=(str(tmp_path),), nprocs=2)
