"""A folder's results are never lost by accident."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.results.files import OUTPUTS
from dusa_ignite.runs import folder as run_folder
from dusa_ignite.runs.folder import check_free, check_same_config, create, is_worthless, log_to


@pytest.fixture
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of any run."""
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(
        "name: mine\ndata: {name: digits}\nclassifier: {name: test_convnext, num_classes: 10}\nmethod: {name: source}\n"
    )
    return load_config(path)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a finished run, with a file of the user's own."""
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    for name in (*OUTPUTS, "notes.txt"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def restore_logging() -> Iterator[None]:
    """Leaves the loggers as they were."""
    loggers = [logging.getLogger(name) for name in ("dusa_ignite", "ignite", "ignite.distributed.launcher.Parallel")]
    before = [(one.level, one.propagate, one.disabled, list(one.handlers)) for one in loggers]
    loggers[0].handlers = []
    yield
    for one, (level, propagate, disabled, handlers) in zip(loggers, before, strict=True):
        for handler in one.handlers:
            handler.close()
        one.level, one.propagate, one.disabled, one.handlers = level, propagate, disabled, handlers
        one.manager._clear_cache()  # type: ignore[attr-defined]


def test_a_new_folder_is_free(tmp_path: Path, config: Config) -> None:
    folder = tmp_path / "a" / "b"
    check_free(folder, overwrite=False)
    assert not folder.exists()
    create(folder, config)
    assert folder.is_dir()


def test_a_folder_without_our_files_is_free(tmp_path: Path, config: Config) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    check_free(tmp_path, overwrite=False)
    create(tmp_path, config)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_finished_run_is_refused(finished: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_free(finished, overwrite=False)
    assert str(caught.value) == (
        f"{finished}: holds a finished run; choose another name=..., or give --overwrite to replace it"
    )
    check_free(finished, overwrite=True)
    assert (finished / "results.csv").read_text() == "results.csv"  # checking removes nothing


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != run_folder.SUMMARY])
def test_a_run_that_has_not_finished_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match="holds a run that has not finished"):
        check_free(tmp_path, overwrite=False)
    check_free(tmp_path, overwrite=True)


def test_overwriting_removes_our_files_only(finished: Path, config: Config) -> None:
    create(finished, config)
    assert {path.name for path in finished.iterdir()} - {run_folder.LOG} == {"notes.txt", "config.yaml"}
    assert load_config(finished / "config.yaml") == config
    assert not (finished / run_folder.LOG).exists() or (finished / run_folder.LOG).read_text() == ""
    assert (finished / "notes.txt").read_text() == "notes.txt"


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_in_its_place(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(ConfigError, match="mine: is a file; choose another name"):
        check_free(tmp_path / "mine", overwrite=overwrite)


def test_a_folder_that_cannot_be_made(tmp_path: Path, config: Config) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ConfigError, match=r"runs/mine: cannot be written to \(.+\); choose another output_dir"):
        create(tmp_path / "runs" / "mine", config)


def test_a_read_only_folder(tmp_path: Path, config: Config) -> None:
    tmp_path.chmod(0o555)
    try:
        (tmp_path / "probe").touch()
    except OSError:
        pass
    else:
        pytest.skip("this user may write anywhere")
    with pytest.raises(ConfigError, match=r"cannot be written to \(Permission denied\)"):
        create(tmp_path, config)


def test_a_folder_that_takes_no_files(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def touch(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(ConfigError, match=r"cannot be written to \(Permission denied\)"):
        create(tmp_path, config)


@pytest.mark.parametrize("steps", range(12))
def test_overwriting_cut_off_never_leaves_old_checkpoints_or_an_old_end_with_a_new_config(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    class Killed(BaseException):
        pass

    old = config.model_copy(update={"seed": 7})
    create(tmp_path, old)
    (tmp_path / "checkpoints").mkdir()
    for name in ("checkpoints/checkpoint_5.pt", "checkpoints/checkpoint_4.pt.damaged", "results.csv", "summary.json"):
        (tmp_path / name).write_text("old")
    left = iter([None] * steps)

    def trap(original: Any) -> Any:
        def step(*args: Any, **kwargs: Any) -> None:
            if next(left, 0) == 0:
                raise Killed
            original(*args, **kwargs)

        return step

    for owner, name in ((Path, "unlink"), (os, "fsync"), (os, "replace"), (Path, "touch")):
        monkeypatch.setattr(owner, name, trap(getattr(owner, name)))
    with pytest.raises(Killed):
        create(tmp_path, config)
    monkeypatch.undo()
    found = load_config(tmp_path / "config.yaml")
    assert found in (old, config)
    if found == config or not (tmp_path / "summary.json").exists():
        assert not list((tmp_path / "checkpoints").iterdir())
    if found == config:
        assert not (tmp_path / "summary.json").exists()


def test_what_may_go_without_a_word(tmp_path: Path, config: Config) -> None:
    assert is_worthless(tmp_path / "nowhere")
    (tmp_path / "log.txt").write_text("begun")
    (tmp_path / "config.yaml").write_text("")  # cut off
    assert is_worthless(tmp_path)
    for name in ("results.csv", "summary.json", "checkpoints/checkpoint_3.pt", "export/fog.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert not is_worthless(tmp_path)
        (tmp_path / name).unlink()
    create(tmp_path, config)
    assert not is_worthless(tmp_path)


def test_a_checkpoint_without_a_config_is_kept(tmp_path: Path, config: Config) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml.*; put the run's config back, or give --overwrite"):
        check_same_config(tmp_path, config)


@pytest.mark.usefixtures("restore_logging")
def test_a_full_disk_costs_log_lines_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / run_folder.LOG).symlink_to("/dev/full")
    log_to(tmp_path)
    logging.getLogger("dusa_ignite").info("a line")
    log_to(None)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("a line\n", "")


def test_a_run_that_an_unreadable_image_stopped_goes_on_without_it(tmp_path: Path) -> None:
    (tmp_path / run_folder.CONFIG).write_text(
        "name: mine\ndata: {name: digits}\nclassifier: {name: test_convnext, num_classes: 10}\nmethod: {name: source}\n"
    )
    check_same_config(tmp_path, load_config(tmp_path / run_folder.CONFIG, ["data.on_error=skip"]))
    with pytest.raises(ConfigError, match=r"cannot go on with another config; data\.limit: None before, 3 now"):
        check_same_config(tmp_path, load_config(tmp_path / run_folder.CONFIG, ["data.limit=3"]))


@pytest.mark.usefixtures("restore_logging")
def test_log_lines_stand_above_a_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_to(tmp_path)
    with tqdm(total=2, file=sys.stdout, ncols=40, leave=False) as bar:
        bar.update()
        logging.getLogger("dusa_ignite").info("a line")
    (line,) = [line for line in capsys.readouterr().out.split("\n") if "a line" in line]
    assert line.rpartition("\r")[2] == "a line"  # the bar was taken away before, and its line begun afresh


@pytest.mark.usefixtures("restore_logging")
def test_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_to(tmp_path)
    logger = logging.getLogger("dusa_ignite.some.module")
    logger.info("to both")
    log_to(None)
    logger.info("to the console alone")
    logger.debug("to nobody")
    captured = capsys.readouterr()
    assert captured.out == "to both\nto the console alone\n"
    assert captured.err == ""
    (line,) = (tmp_path / run_folder.LOG).read_text().splitlines()
    assert line.endswith(" INFO dusa_ignite.some.module: to both")
    assert line[:4].isdigit()
    assert len(logging.getLogger("dusa_ignite").handlers) == 1
