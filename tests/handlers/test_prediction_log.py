"""Every image's prediction."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from dusa_ignite.engine import create_adaptation_engine
from dusa_ignite.handlers import PredictionLog
from dusa_ignite.results.predictions import read_pairs

LOG_3 = math.log(3)  # logits (0, ln 3): probabilities 1/4 and 3/4
BATCHES: list[dict[str, Any]] = [
    {"task": "fog/5", "first": True, "last": False, "index": [4, 0], "y": [1, -1], "logits": [[0, LOG_3], [LOG_3, 0]]},
    {"task": "fog/5", "first": False, "last": True, "index": [], "y": [], "logits": torch.empty(0, 2).tolist()},
    {"task": 'rain, "heavy"', "first": True, "last": True, "index": [2], "y": [0], "logits": [[0, 1000]]},
]
HEADER = (
    "task,index,path,label,label_name,predicted,predicted_name,confidence,source_predicted,source_confidence,top5,guide"
)
LINES = f'''\
{HEADER}
fog/5,4,,1,dog,1,dog,0.750000,,,1:0.7500 0:0.2500,
fog/5,0,,-1,,0,"cat, small",0.750000,,,0:0.7500 1:0.2500,
"rain, ""heavy""",2,,0,"cat, small",1,dog,1.000000,,,1:1.0000,
'''


def make(path: Path) -> tuple[Engine, PredictionLog]:
    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        batch["index"] = torch.tensor(batch["index"], dtype=torch.int64)
        return {"y_pred": torch.tensor(batch["logits"]).reshape(-1, 2), "y": torch.tensor(batch["y"])}

    engine, log = create_adaptation_engine(update), PredictionLog(path, class_names=("cat, small", "dog"))
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
        shares[:] = [own, [(9, 1, 0, 0.5, (1, 0.25), ([0, 1], [0.5, 0.5]), ([1, 0], [0.125, 2.0]))]]

    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    engine, _ = make(tmp_path / "predictions.csv")
    engine.run([dict(BATCHES[0])], max_epochs=1)
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:] == [
        "fog/5,4,,1,dog,1,dog,0.750000,,,1:0.7500 0:0.2500,",
        'fog/5,0,,-1,,0,"cat, small",0.750000,,,0:0.7500 1:0.2500,',
        'fog/5,9,,1,dog,0,"cat, small",0.500000,1,0.250000,0:0.5000 1:0.5000,1:0.125 0:2',
    ]


def test_paths_the_sources_answer_and_what_the_guide_was_asked(tmp_path: Path) -> None:
    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        return {
            "y_pred": torch.tensor([[0, LOG_3]]),
            "source_y_pred": torch.tensor([[LOG_3, 0]]),
            "y": torch.tensor([-1]),
            "candidates": torch.tensor([[1, 0]]),
            "candidate_errors": torch.tensor([[0.25, 0.1234567]]),
        }

    engine = create_adaptation_engine(update)  # type: ignore[arg-type]
    PredictionLog(tmp_path / "p.csv", path_of=lambda task, index: f"{task}/{index}.png").attach(engine)
    engine.run([{"task": "fog", "first": True, "last": True, "index": torch.tensor([3])}], max_epochs=1)
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == (
        "fog,3,fog/3.png,-1,,1,,0.750000,0,0.750000,1:0.7500 0:0.2500,1:0.25 0:0.12346"
    )


def test_five_classes_at_most_and_none_that_cannot_be(tmp_path: Path) -> None:
    logits = torch.tensor([[0.0] * 8, [0.0, 0.0] + [-1e9] * 6])

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        return {"y_pred": logits, "y": torch.tensor([0, 0])}

    engine = create_adaptation_engine(update)  # type: ignore[arg-type]
    PredictionLog(tmp_path / "p.csv").attach(engine)
    engine.run([{"task": "fog", "first": True, "last": True, "index": torch.tensor([0, 1])}], max_epochs=1)
    with (tmp_path / "p.csv").open(newline="") as file:
        first, second = (read_pairs(line["top5"]) for line in csv.DictReader(file))
    assert first == [(0, 0.125), (1, 0.125), (2, 0.125), (3, 0.125), (4, 0.125)]
    assert second == [(0, 0.5), (1, 0.5)]
