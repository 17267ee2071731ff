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
from dusa_ignite.runs.provenance import launch_id
from dusa_ignite.runs.claim import on_rank_zero, check_same_origins, start_mode, load_checkpoint
from dusa_ignite.runs.folder import create

NOW: dict[str, Any] = {
    "weights_sha256": {"classifier": "a", "vae": "b"},
    "data_fingerprints": {"fog/5": "c"},
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
        (tmp_path / "run.json").write_text(json.dumps({"launch": launch, "resumed": resumed}))
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
    torch.save({"number": 1}, tmp_path / "checkpoints" / "checkpoint_1.pt")
    for content in (None, "{"):
        if content:
            (tmp_path / "run.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"run\.json: missing or unreadable, so the run cannot go on; start"):
            load_checkpoint(tmp_path, NOW)
    (tmp_path / "run.json").write_text(json.dumps(NOW))
    assert load_checkpoint(tmp_path, NOW) == {"number": 1}


def in_two_processes(rank: int, folder: str) -> None:
    """The second process never looks for itself, and hears of the first one's errors."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)

    def fail(error: Exception) -> None:
        raise error

    try:
        assert on_rank_zero(lambda: rank) == 0
        for error in (ConfigError("seed: wrong"), ZeroDivisionError("a defect")):
            try:
                on_rank_zero(lambda error=error: fail(error))  # type: ignore[misc]
            except Exception as caught:
                said = [f"{type(caught).__name__}: {caught}"]
            if isinstance(error, ConfigError):
                assert said == ["ConfigError: seed: wrong"]
            elif rank == 1:
                assert said == ["RuntimeError: the first process failed: ZeroDivisionError('a defect')"]
            else:
                assert said == ["ZeroDivisionError: a defect"]
        description = NOW if rank == 0 else {}
        assert load_checkpoint(Path(folder), description) == {"number": 4}
        assert (Path(folder) / "checkpoints" / "checkpoint_5.pt.damaged").exists()
    finally:
        dist.destroy_process_group()


def test_the_first_process_decides_for_all(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    torch.save({"number": 4}, tmp_path / "checkpoints" / "checkpoint_4.pt")
    (tmp_path / "checkpoints" / "checkpoint_5.pt").write_bytes(b"damaged")
    (tmp_path / "run.json").write_text(json.dumps(NOW))
    multiprocessing.spawn(in_two_processes, args=(str(tmp_path),), nprocs=2)
