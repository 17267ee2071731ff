"""ClearML and TensorBoard: what is reported, and that nothing about it can end a run."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ignite.distributed as idist
import pytest
from safetensors.torch import load_file
from support.clearml_server import ClearMLServer
from support.files import ROOT
from support.tracked_run import ONLINE, Batches, toy_engine
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError, UserError
from dusa_ignite.handlers.tracked_numbers import plots, results_as_table
from dusa_ignite.handlers.tracking import _start_clearml, attach_tracking, check_tracking

TOY = str(ROOT / "tests" / "support" / "tracked_run.py")
SCALAR = "training_stats_scalar"


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """An environment without any ClearML configuration, and with the variable by which Ignite would go offline."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CLEARML_", "TRAINS_"))}
    own = {"HOME": str(tmp_path / "home"), "CLEARML_CONFIG_FILE": str(tmp_path / "none.conf"), "CI": "true"}
    return {**inherited, **own, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def server() -> Iterator[ClearMLServer]:
    server = ClearMLServer()
    yield server
    server.stop()


def toy(environment: dict[str, str], **options: Any) -> tuple[dict[str, Any], str]:
    """What the toy run says it left behind, and its standard error; the process has to end by itself."""
    command = [sys.executable, TOY, json.dumps(options)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def scalars(events: list[dict[str, Any]]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(step, value) by plot and series, in the order of reporting."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for event in events:
        if event["type"] == SCALAR and not event["metric"].startswith(":monitor"):
            found.setdefault((event["metric"], event["variant"]), []).append((event["iter"], event["value"]))
    return found


# Numbers


def test_numbers_are_sorted_into_plots_and_those_that_are_not_finite_left_out() -> None:
    numbers = {
        "top1": 0.5,
        "ece": float("nan"),
        "update_loss": 2.0,
        "loss": 1.0,
        "auc": 0.9,
        "images": 3,
        "task": "fog",
    }
    assert plots(numbers) == {
        "accuracy": {"top1": 0.5},
        "loss": {"update_loss": 2.0, "loss": 1.0},
        "guidance": {"auc": 0.9},
        "counts": {"images": 3},
    }


def test_table() -> None:
    header, row = results_as_table([{"task": "fog/5", "images": 7, "top1": 0.123456, "ece": float("nan")}])
    assert header[:5] == ["task", "images", "top1", "top5", "ece"]
    assert row[:5] == ["fog/5", "7", "0.1235", "", ""]


# The config


def test_config() -> None:
    path = ROOT / "configs" / "digits.yaml"
    given = load_config(path, ["tracking.clearml={mode: off, tags: [a, b]}"]).tracking.clearml
    assert given is not None
    assert given.model_dump() == {"project": "dusa_ignite", "task": None, "tags": ("a", "b"), "mode": "off"}
    with pytest.raises(ConfigError, match=r"should be .online., .offline. or .off."):
        load_config(path, ["tracking.clearml.mode=on"])


# ClearML, offline


@pytest.mark.slow
def test_offline_session_of_a_digits_run_that_is_stopped_and_resumed(tmp_path: Path, alone: dict[str, str]) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "launch/main.py", "--config", "configs/digits.yaml", f"output_dir={tmp_path}"]
    command += [
        "name=run",
        "data.corruptions=[fog, contrast]",
        "data.limit=160",
        "data.clean_root=null",
        "data.batch_size=16",
        "export=classifier",
    ]
    command += ["tracking.tensorboard=true", "tracking.clearml={project: tta, task: demo, tags: [a, b], mode: offline}"]
    command += ["run.num_threads=1"]

    running = subprocess.Popen(command, cwd=ROOT, env=alone, stderr=subprocess.PIPE, text=True)
    log = folder / "metrics.jsonl"
    while running.poll() is None and not (log.exists() and log.read_text().count("\n") >= 3):
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=100)
    assert running.returncode == 75, errors
    stopped = len(log.read_text().splitlines())
    assert 3 <= stopped < 20
    [session] = (folder / "clearml" / "offline").glob("*.zip")
    assert json.loads((folder / "clearml.json").read_text()) == {"offline": session.stem}

    done = subprocess.run([*command, "--resume"], cwd=ROOT, env=alone, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (folder / "clearml" / "offline").glob("*.zip")] == [session.name]

    with zipfile.ZipFile(session) as archive:
        task = json.loads(archive.read("task.json"))
        events = [event for line in archive.read("metrics.jsonl").splitlines() for event in json.loads(line)]
        names = archive.namelist()
        files = {name.rsplit("/", 1)[-1]: archive.read(name) for name in names if "/artifacts/" in name}

    assert (task["project_name"], task["name"], sorted(task["tags"])) == ("tta", "demo", ["a", "b"])
    options = {name: option["value"] for name, option in task["hyperparams"]["config"].items()}
    assert (options["data/limit"], options["method/name"], options["optimizer/lr"]) == ("160", "dusa", "0.0003")

    found = scalars(events)
    updates = [json.loads(line) for line in log.read_text().splitlines()]
    for plot, series in (
        ("accuracy", "top1"),
        ("accuracy", "ema_top1"),
        ("loss", "update_loss"),
        ("guidance", "auc"),
        ("guidance", "loss_rand_1"),
        ("speed", "images_per_second"),
    ):
        expected = [(line["iteration"], pytest.approx(line[series])) for line in updates]
        assert found[f"updates/{plot}", series] == expected, series
    rows = [line.split(",") for line in (folder / "results.csv").read_text().splitlines()]
    top1 = [float(row[rows[0].index("top1")]) for row in rows[1:3]]
    assert found["tasks/accuracy", "top1"] == [(1, pytest.approx(top1[0])), (2, pytest.approx(top1[1]))]
    last_table = json.loads([event for event in events if event["type"] == "plot"][-1]["plot_str"])
    assert last_table["data"][0]["cells"]["values"][0] == ["fog/5", "contrast/5"]

    pictures = {"accuracy_stream.png", "accuracy_tasks.png"}
    assert files.keys() == {"config.yaml", "run.json", "results.csv", "log.txt", "report.html"} | pictures
    for name in files.keys() - {"log.txt"}:  # the log still grew
        assert files[name] == (folder / name).read_bytes(), name
    assert {artifact["key"] for artifact in task["execution"]["artifacts"]} == files.keys()
    assert {event["variant"] for event in events if event["type"] == "training_debug_image"} == {
        "accuracy_stream",
        "accuracy_tasks",
    }
    assert [model["init"]["name"] for model in task["offline_output_models"]] == ["fog/5", "contrast/5"]
    assert {"models/fog_5.safetensors", "models/contrast_5.safetensors"} <= set(names)
    copy = session.with_suffix("") / "models" / "fog_5.safetensors"
    assert load_file(copy).keys() == load_file(folder / "export" / "fog_5.safetensors").keys()

    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    curve = [(event.step, event.value) for event in board.Scalars("updates/accuracy/top1")]
    assert curve == [(line["iteration"], pytest.approx(line["top1"])) for line in updates]
    assert [event.step for event in board.Scalars("tasks/accuracy/top1")] == [1, 2]


# ClearML, with a server


@pytest.mark.slow
def test_stopped_and_resumed_run_is_one_task_on_the_server(
    tmp_path: Path, alone: dict[str, str], server: ClearMLServer
) -> None:
    folder = tmp_path / "toy run"
    folder.mkdir()
    (folder / "export").mkdir()
    (folder / "export" / "fog_5.safetensors").write_bytes(b"weights")
    environment = {**alone, **server.environment}

    first, _ = toy(environment, folder=str(folder), clearml=ONLINE, stop_after=4)
    assert first["outcome"] == "stopped"
    assert (server.task["name"], sorted(server.task["tags"]), server.task["status"]) == (
        "toy run",
        ["a", "b"],
        "stopped",
    )
    assert server.task["hyperparams"]["config"]["data/name"]["value"] == "toy"
    assert json.loads((folder / "clearml.json").read_text()) == {"online": server.task["id"]}
    assert (folder / "export" / "fog_5.safetensors").exists()  # ClearML by default removes what it has uploaded
    [model] = server.models.values()
    assert (model["name"], model["framework"]) == ("fog/5", "PyTorch")
    assert len(b"weights") < server.files[0] < 1000

    rows = [{"task": "fog/5", "images": 12, "top1": 0.3}]
    second, _ = toy(environment, folder=str(folder), clearml=ONLINE, done=3, rows=rows)
    assert second["outcome"] == "completed"
    assert server.calls.count("tasks.create") == 1
    assert server.task["status"] == "completed"
    found = scalars(server.events)
    assert found["updates/accuracy", "top1"] == [(i, pytest.approx(i / 10)) for i in (1, 2, 3, 4, 4, 5)]
    assert found["tasks/accuracy", "top1"] == [(1, pytest.approx(0.3)), (2, pytest.approx(0.5))]
    assert ("updates/calibration", "ece") not in found

    for left in (first, second):
        assert left["signals_kept"]
        assert left["streams_kept"]
        assert not left["matplotlib"]
        assert left["threads"] == ["MainThread"]


@pytest.mark.slow
def test_a_server_that_goes_away_is_warned_of_and_the_run_goes_on(tmp_path: Path, alone: dict[str, str]) -> None:
    server = ClearMLServer()
    seconds = {"PING_SECONDS": 0.5, "PATIENCE_SECONDS": 2.0}
    options = {"folder": str(tmp_path), "clearml": ONLINE, "pause": 1.0, "seconds": seconds}
    environment = {**alone, **server.environment}
    pipe = subprocess.PIPE
    running = subprocess.Popen(
        [sys.executable, TOY, json.dumps(options)], env=environment, stdout=pipe, stderr=pipe, text=True
    )
    while running.poll() is None and not scalars(server.events):
        time.sleep(0.02)
    server.stop()
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    left = json.loads(output.splitlines()[-1])
    assert left["outcome"] == "completed"
    assert left["seconds"] < 20
    assert f"no answer from {server.environment['CLEARML_API_HOST']}; the run goes on" in errors
    assert "gave up after" in errors


@pytest.mark.slow
def test_no_configuration_and_no_server_are_clear_errors(alone: dict[str, str]) -> None:
    with socket.socket() as closed, socket.socket() as silent:
        for each in (closed, silent):
            each.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and never answers
        hosts = [f"http://127.0.0.1:{each.getsockname()[1]}" for each in (closed, silent)]
        left, _ = toy(alone, hosts=[None, *hosts], seconds={"ANSWER_SECONDS": 0.5})
    what_to_do = (
        "run clearml-init, or set CLEARML_API_HOST, CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY; "
        "without a server: tracking.clearml.mode=offline"
    )
    assert left["said"] == [
        f"tracking.clearml: ClearML is not configured on this machine; {what_to_do}",
        f"tracking.clearml: no answer from the server {hosts[0]} (ConnectionError); {what_to_do}",
        f"tracking.clearml: no answer from the server {hosts[1]} (ReadTimeout); {what_to_do}",
    ]
    assert left["seconds"] < 20


def test_a_resumed_run_goes_on_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise UserError("tracking.clearml: no answer")

    tracking_log = logging.getLogger("dusa_ignite.handlers.tracking")
    monkeypatch.setattr(tracking_log, "propagate", False)
    tracking_log.addHandler(caplog.handler)
    # not the module itself: importing ClearML changes this process
    monkeypatch.setitem(sys.modules, "dusa_ignite.handlers.clearml_server", SimpleNamespace(check_server=away))
    monkeypatch.setattr("dusa_ignite.handlers.tracking._start_clearml", away)
    with pytest.raises(UserError, match="no answer"):
        check_tracking(clearml=ONLINE, tensorboard=True)
    assert check_tracking(clearml=ONLINE, tensorboard=True, resumed=True) == {"clearml": None, "tensorboard": True}
    engine, results = toy_engine()
    kept: dict[str, Any] = {"folder": tmp_path, "results": results, "parameters": {}, "clearml": ONLINE}
    with pytest.raises(UserError, match="no answer"):
        attach_tracking(engine, **kept)
    with attach_tracking(engine, **kept, resumed=True):
        engine.run(Batches(), max_epochs=1, epoch_length=5)
    tracking_log.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        "the run goes on without ClearML: tracking.clearml: no answer"
    ] * 2


@pytest.mark.parametrize("content", ['{"online": "12', "[3]", ""])
def test_a_torn_list_of_tasks_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    class Session:
        task_id, where = "34", "nowhere"

        def __init__(self, **options: Any) -> None:
            assert options["task_id"] is None

    monkeypatch.setitem(sys.modules, "dusa_ignite.handlers.clearml_session", SimpleNamespace(ClearMLSession=Session))
    (tmp_path / "clearml.json").write_text(content)
    _start_clearml(tmp_path, {}, resumed=True, **ONLINE)
    assert json.loads((tmp_path / "clearml.json").read_text()) == {"online": "34"}
    assert not list(tmp_path.glob("*.part"))


# TensorBoard, failures, processes


def test_failing_reports_are_warned_of_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(SummaryWriter, "add_scalar", fail)
    tracking_log = logging.getLogger("dusa_ignite.handlers.warned")
    tracking_log.addHandler(caplog.handler)
    engine, results = toy_engine()
    try:
        with attach_tracking(engine, folder=tmp_path, results=results, parameters={}, tensorboard=True):
            engine.run(Batches(), max_epochs=1, epoch_length=5)
    finally:
        tracking_log.removeHandler(caplog.handler)
    assert engine.state.iteration == 5
    messages = {record.getMessage() for record in caplog.records}
    assert messages == {"tracking: report lost, the run goes on: OSError: disk full"}


def test_a_new_run_of_the_same_name_starts_new_curves(tmp_path: Path) -> None:
    for _ in range(2):
        engine, results = toy_engine()
        with attach_tracking(engine, folder=tmp_path, results=results, parameters={}, tensorboard=True):
            engine.run(Batches(), max_epochs=1, epoch_length=5)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


@pytest.mark.parametrize("resumed", [False, True])
def test_a_new_run_of_the_same_name_forgets_the_tasks(tmp_path: Path, resumed: bool) -> None:
    (tmp_path / "clearml.json").write_text('{"online": "0123"}')
    engine, results = toy_engine()
    attach_tracking(engine, folder=tmp_path, results=results, parameters={}, resumed=resumed)
    assert (tmp_path / "clearml.json").exists() is resumed


def test_the_first_process_alone_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    engine, results = toy_engine()
    tracking = attach_tracking(
        engine, folder=tmp_path, results=results, parameters={}, clearml=ONLINE, tensorboard=True
    )
    with tracking:
        engine.run(Batches(), max_epochs=1, epoch_length=5)
    assert list(tmp_path.iterdir()) == []
