"""The monitor: what it adds to outputs, when it warns, and what it undoes."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from support.files import CONFIGS
from support.interruptions import interrupt_after
from support.toys import CLASSES, assert_identical, noise_task, toy_classifier

from dusa_ignite.config import load_config
from dusa_ignite.data import TaskStream
from dusa_ignite.engine import TaskEvents, create_adaptation_engine, output_of
from dusa_ignite.errors import ConfigError, Interrupted
from dusa_ignite.handlers import HarmMonitor, TaskReset
from dusa_ignite.handlers.harm_monitor import MonitorOptions
from dusa_ignite.models.forward import predict
from dusa_ignite.models.views import to_float
from dusa_ignite.results.rows import TIME_COLUMNS, read_csv
from dusa_ignite.runs.adapt import adapt


class Collapsing:
    """An update after which the classifier names class 0 more and more; ``shift`` is what it adds to that logit."""

    def __init__(self, action: str, *, collapses_from: int = 1, keeps_learning: bool = False) -> None:
        self.classifier = toy_classifier()
        self.start = copy.deepcopy(self.classifier.state_dict())
        self.collapses_from = collapses_from
        options = MonitorOptions(action=action, window=5)
        source = copy.deepcopy(self.classifier)
        self.monitor = HarmMonitor(source, options=options, micro_batch_size=4, keeps_learning=keeps_learning)
        self.engine = create_adaptation_engine(self.monitor.around(self.update))
        self.monitor.attach(self.engine, TaskReset({"classifier": self.classifier}))
        self.log: list[dict[str, Any]] = []
        self.engine.add_event_handler(TaskEvents.UPDATE_COMPLETED, self.write)

    @property
    def bias(self) -> torch.nn.Parameter:
        (last,) = [m for m in self.classifier.backbone.modules() if isinstance(m, torch.nn.Linear)][-1:]
        return last.bias

    @torch.no_grad()
    def update(self, engine: Engine | None, batch: Any) -> Any:
        images = to_float(batch["images"], device="cpu", dtype=self.bias.dtype)
        logits = predict(self.classifier, images, micro_batch_size=4)
        if engine is not None and engine.state.iteration >= self.collapses_from:
            self.bias[0] += 5.0
        return {"y_pred": logits, "y": batch["labels"], "loss": 0.0, "diagnostics": {"skipped_update": 0.0}}

    def write(self, engine: Engine) -> None:
        output = output_of(engine)
        self.log.append({**engine.state.metrics, "bias": self.bias[0].item(), "output": dict(output)})

    def run(self, *counts: int) -> Collapsing:
        tasks = [noise_task(f"task{i}", count, seed=i) for i, count in enumerate(counts)]
        self.engine.run(TaskStream(tasks, batch_size=5, seed=0), max_epochs=1)
        return self


def test_the_source_model_predicts_every_batch() -> None:
    run = Collapsing("warn").run(15)
    source = toy_classifier()
    for entry, batch in zip(run.log, TaskStream([noise_task("task0", 15, seed=0)], batch_size=5, seed=0), strict=True):
        images = to_float(batch["images"], device="cpu", dtype=torch.float32)
        assert_identical(entry["output"]["source_y_pred"], predict(source, images, micro_batch_size=4))
    assert [entry["output"]["diagnostics"]["window_top_share"] for entry in run.log[1:]] == [1.0, 1.0]


def test_a_collapse_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run = Collapsing("warn").run(40)
    assert [entry["warnings"] for entry in run.log] == [0, 0, 1, 1, 1, 1, 1, 1]
    assert "rollbacks" not in run.log[-1]
    (line,) = caplog.messages
    assert line.startswith("monitor: task0, update 3: collapse: one class takes 100% of the predictions")


def test_warnings_are_counted_per_task() -> None:
    run = Collapsing("warn").run(20, 10)
    assert [entry["warnings"] for entry in run.log] == [0, 0, 1, 1, 0, 1]  # the second task begins collapsed


def test_stop_goes_back_to_the_source_model_until_the_task_ends() -> None:
    run = Collapsing("stop").run(25, 10)
    start = run.start[next(k for k in run.start if k.endswith("bias") and run.start[k].shape == (CLASSES,))][0].item()
    assert [entry["bias"] - start for entry in run.log[:5]] == pytest.approx([5, 10, 0, 0, 0], abs=1e-6)
    assert run.log[2]["rollbacks"] == 1
    for entry in run.log[3:5]:
        assert_identical(entry["output"]["y_pred"], entry["output"]["source_y_pred"])
        assert entry["output"]["loss"] != entry["output"]["loss"]  # NaN: nothing was learnt
    assert run.log[5]["bias"] - start == pytest.approx(5, abs=1e-6)  # the next task learns again


def test_rollback_goes_back_to_the_state_that_proved_to_be_well() -> None:
    run = Collapsing("rollback", collapses_from=7, keeps_learning=True)
    run.run(60)
    # A state is kept after every update and has proved to be well after the next one. Update 7 begins to collapse: its
    # state is not proved, as the predictions of update 8 are a sign, which is warned of when update 9 shows it again.
    assert [entry["rollbacks"] for entry in run.log[:9]] == [0] * 8 + [1]
    assert [entry["bias"] - run.log[0]["bias"] for entry in run.log[5:9]] == pytest.approx([0, 5, 10, 0], abs=1e-6)


def test_acting_needs_the_source_models_state() -> None:
    monitor = HarmMonitor(toy_classifier(), options=MonitorOptions(action="stop"), micro_batch_size=4)
    with pytest.raises(ValueError, match="action='stop' needs the source model's state"):
        monitor.attach(create_adaptation_engine(lambda engine, batch: {}))  # type: ignore[arg-type,return-value]


# In a run


def configure(folder: Path, *overrides: str) -> Any:
    options = [
        f"output_dir={folder}",
        "name=run",
        "data.clean_root=null",
        "resume=auto",
        "run.num_threads=1",
        "run.precision=float32",
    ]
    options += ["data.corruptions=[fog, contrast]", "data.limit=80", "data.batch_size=16", "optimizer.lr=0.03"]
    return load_config(CONFIGS / "digits.yaml", [*options, "monitor.window=16", *overrides])


def outcome(folder: Path) -> Any:
    rows = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in read_csv(folder / "run" / "results.csv")]
    return rows, (folder / "run" / "predictions.csv").read_bytes()


@pytest.mark.parametrize(
    ("action", "setting"),
    [("rollback", "continual"), pytest.param("rollback", "fully", marks=pytest.mark.slow), ("stop", "fully")],
)
def test_a_run_that_is_cut_off_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, setting: str
) -> None:
    overrides = [f"monitor.action={action}", f"setting={setting}"]
    adapt(0, configure(tmp_path / "peace", *overrides))
    assert sum(row["rollbacks"] for row in outcome(tmp_path / "peace")[0]) > 0
    for updates in (4, 8):
        folder = tmp_path / str(updates)
        with monkeypatch.context() as patch:
            interrupt_after(updates, patch)
            with pytest.raises(Interrupted):
                adapt(0, configure(folder, *overrides))
        adapt(0, configure(folder, *overrides))
        assert outcome(folder) == outcome(tmp_path / "peace")


def test_every_run_has_a_source_column(tmp_path: Path) -> None:
    adapt(0, configure(tmp_path / "a", "optimizer.lr=3e-4"))
    adapt(0, configure(tmp_path / "b", "method.name=source", "norm_ema=null"))
    adapt(0, configure(tmp_path / "c", "optimizer.lr=3e-4", "monitor.action=off"))
    adapted, source, without = (read_csv(tmp_path / name / "run" / "results.csv") for name in "abc")
    assert [row["source_top1"] for row in adapted] == [row["top1"] for row in source]
    assert all(0 < row["agreement"] <= 1 for row in adapted)
    assert [row["top1"] for row in adapted] == [row["top1"] for row in without]
    assert all("source_top1" not in row for row in [*source, *without])


def test_what_rollback_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"monitor\.action: 'rollback' has no effect: setting=episodic resets before"):
        load_config(CONFIGS / "digits.yaml", ["monitor.action=rollback", "setting=episodic"])
    with pytest.raises(ConfigError, match=r"monitor\.action: 'rollback' is not allowed; allowed: warn \| stop \| off"):
        load_config(CONFIGS / "digits.yaml", ["monitor.action=rollback", "distributed.strategy=fsdp"])
