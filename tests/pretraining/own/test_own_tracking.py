"""A training on ClearML and TensorBoard: its numbers, pictures, files and weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.files import ROOT
from support.own_training import TINY, own_images
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dusa_ignite.results.pixels import pixels_of


def test_pixels_of_a_picture(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0, 255], [9, 9, 9, 0]]], dtype=np.uint8)).save(tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png").tolist() == [[[255, 255]], [[0, 255]], [[0, 255]]]  # clear is white


@pytest.mark.slow
def test_a_guide_shows_its_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "guide"
    command = [sys.executable, "launch/pretrain.py", "--config", "own_guide", f"output_dir={folder}", *TINY]
    command += [
        f"data.root={own_images(tmp_path / 'images')}",
        "tracking={clearml: {mode: offline}, tensorboard: true}",
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CLEARML_", "TRAINS_"))}
    own = {"HOME": str(tmp_path), "CLEARML_CONFIG_FILE": str(tmp_path / "none.conf"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=inherited | own, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr

    [session] = (folder / "clearml" / "offline").glob("*.zip")
    with zipfile.ZipFile(session) as archive:
        task = json.loads(archive.read("task.json"))
        events = [event for line in archive.read("metrics.jsonl").splitlines() for event in json.loads(line)]
    shown = {(event["metric"], event["iter"]) for event in events if event["type"] == "training_debug_image"}
    assert shown == {(name, update) for name in ("accuracy_by_t", "samples") for update in (5, 10, 12)}
    scalars = {event["metric"] for event in events if event["type"] == "training_stats_scalar"}
    assert {"updates/loss", "updates/training", "updates/validation"} <= scalars
    assert not {"updates/guidance", "tasks/guidance"} & scalars
    files = {"config.yaml", "run.json", "log.txt", "metrics.json", "classes.json", "guide.yaml", "accuracy_by_t.png"}
    assert {artifact["key"] for artifact in task["execution"]["artifacts"]} == files
    assert [model["init"]["name"] for model in task["offline_output_models"]] == ["transformer"]

    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in board.Images("samples")] == [5, 10, 12]
    with Image.open(folder / "samples_12.png") as last:
        size = last.size
    assert (board.Images("samples")[-1].width, board.Images("samples")[-1].height) == size
