"""A run that is cut off goes on exactly where it was, or says why it cannot."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.files import ROOT
from support.interruptions import interrupt_after

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import CheckpointError, ConfigError, Interrupted, UserError
from dusa_ignite.handlers.atomic_saver import saved
from dusa_ignite.results.rows import TIME_COLUMNS, read_csv
from dusa_ignite.runs import assemble, assemble_models
from dusa_ignite.runs import lock as run_lock
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.checkpoints import load_newest


def configure(folder: Path, *overrides: str) -> Config:
    """Two tasks of three updates on digits."""
    options = [
        "data.clean_root=null",
        "data.corruptions=[fog, contrast]",
        "data.limit=40",
        "data.batch_size=16",
        "run.precision=float32",
    ]
    options += [f"output_dir={folder}", "name=run", "resume=auto", *overrides]
    return load_config(ROOT / "configs" / "digits.yaml", options)


def outcome(folder: Path) -> tuple[list[dict], bytes]:
    """What must not depend on interruptions: the results without times, and all predictions."""
    rows = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_csv(folder / "run" / "results.csv")]
    return rows, (folder / "run" / "predictions.csv").read_bytes()


PEACE: dict[str, Path] = {}  # by setting, the run that nothing interrupts: several tests compare with it


@pytest.fixture
def peace(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def run(setting: str) -> Path:
        if setting not in PEACE:
            PEACE[setting] = tmp_path_factory.mktemp("peace")
            adapt(0, configure(PEACE[setting], f"setting={setting}"))
        return PEACE[setting]

    return run


@pytest.mark.slow
@pytest.mark.timeout(900)  # some 40 short runs
def test_killed_at_random_moments() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "kill_and_resume.py", "--kills", "12"],
        capture_output=True,
        text=True,
        timeout=880,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, differences = map(int, re.search(r"kills (\d+), .*differences (\d+)", done.stdout).groups())  # type: ignore[union-attr]
    assert kills >= 12
    assert differences == 0


@pytest.mark.parametrize("setting", ["fully", "continual"])
@pytest.mark.parametrize("updates", [1, pytest.param(3, marks=pytest.mark.slow), 5])
def test_sigterm_saves_and_resumes(
    peace: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, updates: int
) -> None:
    expected = outcome(peace(setting))
    with monkeypatch.context() as patch:
        interrupt_after(updates, patch)
        with pytest.raises(Interrupted, match=f"after update {updates}"):
            adapt(0, configure(tmp_path / "cut", f"setting={setting}"))
    assert [path.name for path in saved(tmp_path / "cut" / "run" / "checkpoints")] == [f"checkpoint_{updates}.pt"]
    adapt(0, configure(tmp_path / "cut", f"setting={setting}"))
    assert outcome(tmp_path / "cut") == expected
    assert f"resumed after update {updates}" in (tmp_path / "cut" / "run" / "log.txt").read_text()


def test_between_tasks_that_reset_nothing_large_is_saved(peace: Callable[[str], Path]) -> None:
    folder = peace("fully") / "run" / "checkpoints"
    content = load_newest(folder)
    assert content is not None
    assert "classifier" not in content
    (path,) = saved(folder)
    assert path.stat().st_size < 50_000


def test_a_finished_run_is_left_alone(peace: Callable[[str], Path]) -> None:
    folder = peace("fully")
    before = {path: path.stat().st_mtime_ns for path in (folder / "run").iterdir()}
    assert folder / "run" / "log.txt" in before
    adapt(0, configure(folder))
    assert {path: path.stat().st_mtime_ns for path in (folder / "run").iterdir()} == before


def test_a_finished_run_with_another_config_is_refused(peace: Callable[[str], Path]) -> None:
    folder = peace("fully")
    with pytest.raises(ConfigError, match=r"optimizer.lr: 0.0003 before, 0.5 now; seed: 2024 before, 7 now$"):
        adapt(0, configure(folder, "seed=7", "optimizer.lr=0.5"))


@pytest.mark.parametrize("left", [["log.txt"], ["log.txt", "config.yaml", "run.json", "metrics.jsonl.part"], [".lock"]])
def test_what_an_early_kill_leaves_is_no_obstacle(tmp_path: Path, left: list[str]) -> None:
    (tmp_path / "run").mkdir()
    for name in left:
        (tmp_path / "run" / name).touch()
    adapt(0, configure(tmp_path, "run.max_batches=1"))
    assert (tmp_path / "run" / "summary.json").exists()
    assert not list((tmp_path / "run").glob("*.part"))


def test_a_checkpoint_is_not_lost_with_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch)
    with pytest.raises(Interrupted):
        adapt(0, configure(tmp_path))
    (tmp_path / "run" / "config.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"the config file is empty; put the run's config back, or give --overwrite"):
        adapt(0, configure(tmp_path))
    assert len(saved(tmp_path / "run" / "checkpoints")) == 1


def test_other_weights_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch)
    weights = tmp_path / "weights.pt"
    overrides = ("setting=continual", f"classifier.checkpoint={weights}")
    classifier = assemble_models.classifier_of(configure(tmp_path)).backbone
    torch.save(classifier.state_dict(), weights)
    with pytest.raises(Interrupted):
        adapt(0, configure(tmp_path, *overrides))
    torch.save(
        {name: value + 0.01 if value.is_floating_point() else value for name, value in classifier.state_dict().items()},
        weights,
    )
    with pytest.raises(
        CheckpointError, match=r"not what the run began with: the weights of classifier; put it back, or"
    ):
        adapt(0, configure(tmp_path, *overrides))
    torch.save(classifier.state_dict(), weights)
    monkeypatch.undo()
    adapt(0, configure(tmp_path, *overrides))


@pytest.mark.parametrize("resume", ["auto", "never"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_restarted_by_torchrun_it_goes_on_whatever_it_was_told_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: str, overwrite: bool
) -> None:
    config = configure(tmp_path, f"resume={resume}")
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        with pytest.raises(Interrupted):
            adapt(0, config, overwrite)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    adapt(0, config, overwrite)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("2 tasks, 6 updates") == 2
    assert "resumed after update 4" in log


def test_two_at_a_time_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "WAIT_SECONDS", 0.1)
    original = assemble.build_stream

    def stream(*args: Any) -> Any:
        with pytest.raises(ConfigError, match=r"run: is being written to by another process; wait for it, or stop it$"):
            adapt(0, configure(tmp_path))
        return original(*args)

    monkeypatch.setattr(assemble, "build_stream", stream)
    adapt(0, configure(tmp_path))
    assert not (tmp_path / "run" / ".lock").exists()


def test_results_that_a_full_disk_did_not_take_are_written_on_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt(0, configure(tmp_path / "peace", "export=classifier"))
    folder = tmp_path / "full" / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full_disk_for(folder, "predictions.csv", "results.csv.part", original=Path.open))
        with pytest.raises(
            UserError, match=r"cannot be written \(No space left on device\); mend that, then resume with"
        ):
            adapt(0, configure(tmp_path / "full", "export=classifier"))
    assert not (folder / "summary.json").exists()
    assert not (folder / "results.csv").exists()
    log = (folder / "log.txt").read_text()
    for name in ("predictions.csv", "results.csv"):
        assert f"{folder / name}: not written for now, the run goes on: No space left on device" in log
    adapt(0, configure(tmp_path / "full", "export=classifier"))
    assert outcome(tmp_path / "full") == outcome(tmp_path / "peace")
    assert (folder / "summary.json").exists()


def full_disk_for(folder: Path, *names: str, original: Callable) -> Callable:
    """``Path.open`` that refuses to open some files."""

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.parent == folder and self.name in names:
            raise OSError(28, "No space left on device")
        return original(self, *args, **kwargs)

    return refuse


def test_another_config_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch)
    with pytest.raises(Interrupted):
        adapt(0, configure(tmp_path))
    with pytest.raises(ConfigError, match=r"optimizer.lr: 0.0003 before, 0.1 now; seed: 2024 before, 7 now$"):
        adapt(0, configure(tmp_path, "seed=7", "optimizer.lr=0.1", "data.num_workers=1", "run.log_every_seconds=1"))
    monkeypatch.undo()
    adapt(0, configure(tmp_path, "data.num_workers=1", "data.micro_batch_size=5"))


def test_a_damaged_checkpoint_falls_back_or_is_refused(
    peace: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outcome(peace("continual"))
    overrides = ("setting=continual", "checkpoint.every_updates=1", "checkpoint.keep=2")
    with monkeypatch.context() as patch:
        interrupt_after(5, patch)
        with pytest.raises(Interrupted):
            adapt(0, configure(tmp_path / "cut", *overrides))
    newest, before = saved(tmp_path / "cut" / "run" / "checkpoints")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # a single flipped bit
    newest.write_bytes(content)
    older = before.read_bytes()
    before.write_bytes(older[:-500])
    with pytest.raises(CheckpointError, match=r"every checkpoint is damaged \(checkpoint_5.pt, checkpoint_4.pt\)"):
        adapt(0, configure(tmp_path / "cut", *overrides))
    before.write_bytes(older)
    adapt(0, configure(tmp_path / "cut", *overrides))
    assert outcome(tmp_path / "cut") == expected
    assert [path.name for path in (tmp_path / "cut" / "run" / "checkpoints").glob("*.damaged")] == [
        "checkpoint_5.pt.damaged"
    ]


def test_lost_log_lines_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch)
    with pytest.raises(Interrupted):
        adapt(0, configure(tmp_path))
    (tmp_path / "run" / "predictions.csv").write_text("")
    with pytest.raises(CheckpointError, match=r"predictions\.csv: has lost lines"):
        adapt(0, configure(tmp_path))


@pytest.mark.parametrize("background", ["true", "false"])
def test_written_in_the_background_or_not(
    peace: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: str
) -> None:
    overrides = ("setting=continual", "checkpoint.every_updates=1", f"checkpoint.background={background}")
    expected = outcome(peace("continual"))
    with monkeypatch.context() as patch:
        interrupt_after(5, patch)
        with pytest.raises(Interrupted):
            adapt(0, configure(tmp_path / "cut", *overrides))
    assert [path.name for path in saved(tmp_path / "cut" / "run" / "checkpoints")] == ["checkpoint_5.pt"]
    adapt(0, configure(tmp_path / "cut", *overrides))
    assert outcome(tmp_path / "cut") == expected


def test_the_model_that_predicts_is_exported(tmp_path: Path) -> None:
    adapt(0, configure(tmp_path, "export=classifier", "setting=continual", "method.name=cotta"))
    exported = load_file(tmp_path / "run" / "export" / "contrast_5.safetensors")
    state = load_newest(tmp_path / "run" / "checkpoints") or {}
    assert all(torch.equal(value, state["method"]["teacher"][f"backbone.{name}"]) for name, value in exported.items())
    assert any(not torch.equal(value, state["classifier"][f"backbone.{name}"]) for name, value in exported.items())


def test_an_exported_classifier_loads_in_timm(tmp_path: Path) -> None:
    import timm

    adapt(0, configure(tmp_path, "export=classifier", "setting=continual"))
    file = tmp_path / "run" / "export" / "contrast_5.safetensors"
    model = timm.create_model("test_convnext", num_classes=10, checkpoint_path=str(file))
    content = load_newest(tmp_path / "run" / "checkpoints")
    assert content is not None
    for name, value in model.state_dict().items():
        assert torch.equal(value, content["classifier"][f"backbone.{name}"])
