"""A run that is cut off goes on exactly where it was, or says why it cannot."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from dusa_ignite import checkpoints
from dusa_ignite.adapt import adapt
from dusa_ignite.checkpoints import AtomicSaver, find_newest, load, load_newest, saved
from dusa_ignite.config import Config, load_config
from dusa_ignite.engine import TaskEvents
from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.handlers import Interrupted, RunCheckpoint
from dusa_ignite.results import TIME_COLUMNS, read_csv

ROOT = Path(__file__).parents[1]


def configure(folder: Path, *overrides: str) -> Config:
    """Two tasks of three updates on digits."""
    options = ["data.corruptions=[fog, contrast]", "data.limit=40", "data.batch_size=16", "run.precision=float32"]
    options += [f"output_dir={folder}", "name=run", "resume=auto", *overrides]
    return load_config(ROOT / "configs" / "digits.yaml", options)


def outcome(folder: Path) -> tuple[list[dict], bytes]:
    """What must not depend on interruptions: the results without times, and all predictions."""
    rows = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_csv(folder / "run" / "results.csv")]
    return rows, (folder / "run" / "predictions.csv").read_bytes()


def interrupt_after(updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process receive SIGTERM in the middle of that update's end."""
    original = RunCheckpoint.attach

    def attach(self: RunCheckpoint, engine: Engine) -> None:
        engine.add_event_handler(
            TaskEvents.UPDATE_COMPLETED,
            lambda: os.kill(os.getpid(), signal.SIGTERM) if engine.state.iteration == updates else None,
        )
        original(self, engine)

    monkeypatch.setattr(RunCheckpoint, "attach", attach)


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> object:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.timeout(900)  # some 60 short runs
def test_killed_at_random_moments() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "kill_and_resume.py", "--kills", "20"],
        capture_output=True,
        text=True,
        timeout=880,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, differences = map(int, re.search(r"kills (\d+), .*differences (\d+)", done.stdout).groups())  # type: ignore[union-attr]
    assert kills >= 20
    assert differences == 0


@pytest.mark.parametrize("setting", ["fully", "continual"])
@pytest.mark.parametrize("updates", [1, 3, 5])
def test_sigterm_saves_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, updates: int) -> None:
    adapt(0, configure(tmp_path / "peace", f"setting={setting}"))
    with monkeypatch.context() as patch:
        interrupt_after(updates, patch)
        with pytest.raises(Interrupted, match=f"after update {updates}"):
            adapt(0, configure(tmp_path / "cut", f"setting={setting}"))
    assert [path.name for path in saved(tmp_path / "cut" / "run" / "checkpoints")] == [f"checkpoint_{updates}.pt"]
    adapt(0, configure(tmp_path / "cut", f"setting={setting}"))
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "peace")
    assert f"goes on after update {updates}" in (tmp_path / "cut" / "run" / "log.txt").read_text()


def test_between_tasks_that_reset_nothing_large_is_saved(tmp_path: Path) -> None:
    adapt(0, configure(tmp_path))
    assert "classifier" not in (load_newest(tmp_path / "run" / "checkpoints") or {})
    (path,) = saved(tmp_path / "run" / "checkpoints")
    assert path.stat().st_size < 50_000


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    handler = RunCheckpoint(AtomicSaver(tmp_path, keep=1), stateful={}, progress={}, resets=True)
    handler._begin()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    adapt(0, configure(tmp_path))
    before = (tmp_path / "run" / "log.txt").stat().st_mtime_ns
    adapt(0, configure(tmp_path))
    assert (tmp_path / "run" / "log.txt").stat().st_mtime_ns == before


def test_another_config_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch)
    with pytest.raises(Interrupted):
        adapt(0, configure(tmp_path))
    with pytest.raises(ConfigError, match=r"optimizer.lr: 0.0007 before, 0.1 now; seed: 2024 before, 7 now$"):
        adapt(0, configure(tmp_path, "seed=7", "optimizer.lr=0.1", "data.num_workers=1", "run.log_every_seconds=1"))
    monkeypatch.undo()
    adapt(0, configure(tmp_path, "data.num_workers=1", "data.micro_batch_size=5"))


def test_a_damaged_checkpoint_falls_back_or_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapt(0, configure(tmp_path / "peace", "setting=continual"))
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
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "peace")


def test_lost_log_lines_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch)
    with pytest.raises(Interrupted):
        adapt(0, configure(tmp_path))
    (tmp_path / "run" / "predictions.csv").write_text("")
    with pytest.raises(CheckpointError, match=r"predictions\.csv: has lost lines"):
        adapt(0, configure(tmp_path))


def test_a_full_disk_is_warned_of_and_the_old_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saver = AtomicSaver(tmp_path, keep=1)
    saver({"number": 1}, "checkpoint_1.pt")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, "fsync", full)
        caplog.set_level("WARNING", logger="dusa_ignite")
        checkpoints.logger.propagate = True
        patch.setattr(checkpoints.logger.parent, "propagate", True)
        saver({"number": 2}, "checkpoint_2.pt")
    assert "No space left on device" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_1.pt"]
    assert load_newest(tmp_path) == {"number": 1}
    saver({"number": 3}, "checkpoint_3.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_3.pt"]


@pytest.mark.parametrize("background", [True, False])
def test_a_full_disk_is_named_and_the_newest_checkpoint_on_disk_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, background: bool
) -> None:
    monkeypatch.setattr(checkpoints.logger, "propagate", False)
    checkpoints.logger.addHandler(caplog.handler)
    folder = tmp_path / "checkpoints"
    with AtomicSaver(folder, keep=1, background=background) as saver:
        assert saver.newest() is None
        saver({"weight": torch.zeros(100_000)}, "checkpoint_1.pt")
        assert saver.newest() == "checkpoint_1.pt"
        (folder / "checkpoint_2.pt.part").symlink_to("/dev/full")  # it takes nothing
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "_remove", lambda path: None)
            saver({"weight": torch.zeros(100_000)}, "checkpoint_2.pt")
            assert saver.newest() == "checkpoint_1.pt"
        saver({"weight": torch.zeros(100_000)}, "checkpoint_3.pt")
        assert saver.newest() == "checkpoint_3.pt"
    checkpoints.logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        f"checkpoint not written, the run goes on: {folder / 'checkpoint_2.pt'}: No space left on device"
    ]


def test_a_damaged_checkpoint_does_not_count_among_those_to_keep(tmp_path: Path) -> None:
    saver = AtomicSaver(tmp_path, keep=2)
    for number in (4, 6):
        saver({"number": number}, f"checkpoint_{number}.pt")
    (tmp_path / "checkpoint_6.pt").write_bytes(b"damaged")
    assert load_newest(tmp_path) == {"number": 4}
    assert [path.name for path in saved(tmp_path)] == ["checkpoint_6.pt", "checkpoint_4.pt"]  # looking changes nothing
    assert find_newest(tmp_path, set_aside=True) == (tmp_path / "checkpoint_4.pt", {"number": 4})
    AtomicSaver(tmp_path, keep=1)({"number": 5}, "checkpoint_5.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_5.pt", "checkpoint_6.pt.damaged"]
    assert load_newest(tmp_path) == {"number": 5}


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (
            OSError(5, "Input/output error"),
            CheckpointError,
            r"_2\.pt: cannot be read \(Input/output error\); mend that",
        ),
        (
            PermissionError(13, "Permission denied"),
            CheckpointError,
            r"_2\.pt: cannot be read \(Permission denied\); mend",
        ),
        (MemoryError("no memory"), MemoryError, "no memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), MemoryError, "DefaultCPUAllocator"),
    ],
)
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: type[Exception], said: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise raised

    saver = AtomicSaver(tmp_path, keep=2)
    for number in (1, 2):
        saver({"number": number}, f"checkpoint_{number}.pt")
    with monkeypatch.context() as patch:
        if isinstance(raised, RuntimeError):
            patch.setattr(torch, "load", fail)
        else:
            patch.setattr(checkpoints.zipfile.ZipFile, "testzip", fail)
        with pytest.raises(kind, match=said):
            find_newest(tmp_path, set_aside=True)
    assert len(saved(tmp_path)) == 2


@pytest.mark.parametrize("mapped", [True, False])
def test_a_checked_checkpoint_is_loaded_again(tmp_path: Path, mapped: bool) -> None:
    AtomicSaver(tmp_path, keep=1)({"weight": torch.arange(3.0)}, "checkpoint_1.pt")
    assert load(tmp_path / "checkpoint_1.pt", mapped=mapped)["weight"].tolist() == [0, 1, 2]
    with pytest.raises(
        CheckpointError, match=r"cannot be read \(No such file or directory\); every process needs to see"
    ):
        load(tmp_path / "checkpoint_2.pt", mapped=mapped)


def test_in_the_background_later_changes_are_not_saved(tmp_path: Path) -> None:
    weight = torch.zeros(3)
    with AtomicSaver(tmp_path, keep=1, background=True) as saver:
        saver({"model": {"weight": weight}, "rows": [{"top1": 0.5}]}, "checkpoint_1.pt")
        weight += 1
    assert saved(tmp_path) == [tmp_path / "checkpoint_1.pt"]
    content = load_newest(tmp_path)
    assert content is not None
    assert content["model"]["weight"].tolist() == [0, 0, 0]
    assert content["rows"] == [{"top1": 0.5}]


def test_in_the_background_writes_come_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    original = torch.save

    def save(content: dict[str, int], file: object) -> None:
        original(content, file)
        written.append(content["number"])

    monkeypatch.setattr(torch, "save", save)
    with AtomicSaver(tmp_path, keep=2, background=True) as saver:
        for number in range(1, 6):
            saver({"number": number}, f"checkpoint_{number}.pt")
            assert written[: number - 1] == list(range(1, number))  # the one before is done
    assert [path.name for path in saved(tmp_path)] == ["checkpoint_5.pt", "checkpoint_4.pt"]


def test_in_the_background_a_defect_is_not_lost(tmp_path: Path) -> None:
    saver = AtomicSaver(tmp_path, keep=1, background=True)
    saver({"cannot be pickled": lambda: None}, "checkpoint_1.pt")
    with pytest.raises(Exception, match="pickle"):
        saver.wait()


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_1.pt.part").write_bytes(b"half")
    AtomicSaver(tmp_path, keep=1)({"number": 2}, "checkpoint_2.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_2.pt"]


@pytest.mark.parametrize("background", ["true", "false"])
def test_written_in_the_background_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: str) -> None:
    overrides = ("setting=continual", "checkpoint.every_updates=1", f"checkpoint.background={background}")
    adapt(0, configure(tmp_path / "peace", "setting=continual"))
    with monkeypatch.context() as patch:
        interrupt_after(5, patch)
        with pytest.raises(Interrupted):
            adapt(0, configure(tmp_path / "cut", *overrides))
    assert [path.name for path in saved(tmp_path / "cut" / "run" / "checkpoints")] == ["checkpoint_5.pt"]
    adapt(0, configure(tmp_path / "cut", *overrides))
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "peace")


def test_only_tensors_and_plain_values_are_loaded(tmp_path: Path) -> None:
    torch.save({"path": Path("x")}, tmp_path / "checkpoint_1.pt")
    with pytest.raises(CheckpointError, match="every checkpoint is damaged"):
        load_newest(tmp_path)


def test_an_exported_classifier_loads_in_timm(tmp_path: Path) -> None:
    import timm

    adapt(0, configure(tmp_path, "export=classifier", "setting=continual"))
    file = tmp_path / "run" / "export" / "contrast_5.safetensors"
    model = timm.create_model("test_convnext", num_classes=10, checkpoint_path=str(file))
    content = load_newest(tmp_path / "run" / "checkpoints")
    assert content is not None
    for name, value in model.state_dict().items():
        assert torch.equal(value, content["classifier"][f"backbone.{name}"])
