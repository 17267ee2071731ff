"""Every image's prediction."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.handlers import PredictionLog

LOG_3 = math.log(3)  # logits (0, ln 3): probabilities 1/4 and 3/4
BATCHES: list[dict[str, Any]] = [
    {"task": "fog/5", "first": True, "last": False, "index": [4, 0], "y": [1, -1], "logits": [[0, LOG_3], [LOG_3, 0]]},
    {"task": "fog/5", "first": False, "last": True, "index": [], "y": [], "logits": torch.empty(0, 2).tolist()},
    {"task": 'rain, "heavy"', "first": True, "last": True, "index": [2], "y": [0], "logits": [[0, 1000]]},
]
LINES = '''\
task,index,label,predicted,confidence
fog/5,4,1,1,0.750000
fog/5,0,-1,0,0.750000
"rain, ""heavy""",2,0,1,1.000000
'''


def make(path: Path) -> tuple[Engine, PredictionLog]:
    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        batch["index"] = torch.tensor(batch["index"], dtype=torch.int64)
        return {"y_pred": torch.tensor(batch["logits"]).reshape(-1, 2), "y": torch.tensor(batch["y"])}

    engine, log = create_adaptation_engine(update), PredictionLog(path)
    log.attach(engine)
    return engine, log


def test_a_line_per_image(tmp_path: Path) -> None:
    engine, _ = make(tmp_path / "predictions.csv")
    engine.run([dict(batch) for batch in BATCHES], max_epochs=1)
    assert (tmp_path / "predictions.csv").read_text() == LINES


def test_a_resumed_run_writes_the_same_lines(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    engine, log = make(path)
    engine.run([dict(BATCHES[0])], max_epochs=1)
    state = log.state_dict()
    engine, log = make(path)
    path.write_text(path.read_text() + "fog/5,half a li")
    log.load_state_dict(state)
    position = {"epoch_length": 3, "max_epochs": 1, "iteration": 1}
    engine.load_state_dict({**position, **dict.fromkeys(engine.state_dict_user_keys, 1)})
    engine.run([dict(batch) for batch in BATCHES[1:]], max_epochs=1)
    assert path.read_text() == LINES


def test_lines_of_all_processes_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)

    def gather(shares: list[Any], own: list[list[Any]]) -> None:
        shares[:] = [own, [[9], [1], [0], [0.5]]]

    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    engine, _ = make(tmp_path / "predictions.csv")
    engine.run([dict(BATCHES[0])], max_epochs=1)
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:] == [
        "fog/5,4,1,1,0.750000",
        "fog/5,0,-1,0,0.750000",
        "fog/5,9,1,0,0.500000",
    ]
