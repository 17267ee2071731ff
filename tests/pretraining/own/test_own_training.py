"""Trainings of one's own guides and classifiers: outputs, refusals, and going on exactly where one was killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from support.files import CONFIGS
from support.own_training import own_config, own_images

from dusa_ignite.commands.main import main
from dusa_ignite.config import load_config
from dusa_ignite.errors import CheckpointError, ConfigError, UserError
from dusa_ignite.models import build_classifier
from dusa_ignite.models.metadata import read_metadata
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.pretraining.own.loop import Trainer
from dusa_ignite.runs.adapt import adapt
from dusa_ignite.runs.pretrain import pretrain
from dusa_ignite.testing.compare import assert_identical


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_images(tmp_path_factory.mktemp("data") / "clean")


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide") / "out"
    pretrain(0, own_config(folder, root))
    return folder


def content(folder: Path, weights: str = "transformer.safetensors") -> tuple[dict[str, torch.Tensor], list[str]]:
    return load_file(folder / weights), [(folder / name).read_text() for name in ("metrics.jsonl", "validation.jsonl")]


def killed(config: OwnConfig, update: int) -> None:
    """Train in a process of its own, which dies by SIGKILL in the middle of that update."""

    def die(self: Trainer, engine: Any, batch: Any) -> dict[str, float]:
        if engine.state.iteration == update:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, engine, batch)

    def run() -> None:
        Trainer.update = die  # type: ignore[method-assign]
        pretrain(0, config)

    whole: Callable[..., dict[str, float]] = Trainer.update
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_what_a_guides_folder_holds(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    pictures = {"accuracy_by_t.png", "samples_5.png", "samples_10.png", "samples_12.png"}
    assert names == pictures | {
        "config.yaml", "run.json", "log.txt", "metrics.jsonl", "validation.jsonl", "metrics.json", "classes.json",
        "transformer.safetensors", "guide.yaml", "checkpoints",
    }  # fmt: skip
    assert json.loads((trained / "classes.json").read_text()) == ["blue", "green", "red"]
    updates = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in updates] == list(range(1, 13))
    assert updates[0]["lr"] == pytest.approx(1e-3)  # a third of the highest: three updates of warm-up
    assert updates[0]["loss"] > 1  # it predicts 0 for z - x0, whose mean square is 1 + mean(x0^2)
    measured = json.loads((trained / "metrics.json").read_text())
    last = json.loads((trained / "validation.jsonl").read_text().splitlines()[-1])
    assert measured["accuracy"] == last["accuracy"]
    assert len(measured["t"]) == len(measured["accuracy"]) == len(measured["loss"]) == 9
    assert (measured["images"], measured["candidates"], measured["chance"]) == (3, 3, pytest.approx(1 / 3))
    with Image.open(trained / "samples_12.png") as grid:
        assert grid.size == (64 + 2 * 4, 3 * (64 + 4 + 14) + 4)  # a column, three rows: 8 pixels enlarged to 64
    assert read_metadata(trained / "transformer.safetensors", key="x").class_names == ("blue", "green", "red")


def test_a_finished_training_stays(trained: Path, root: Path) -> None:
    before = content(trained)
    with pytest.raises(ConfigError, match=r"output_dir: .*: holds a finished training; choose another, or give --over"):
        pretrain(0, own_config(trained, root))
    pretrain(0, own_config(trained, root, "resume=auto", "data.memory_gb=0", "checkpoint.every_updates=null"))
    with pytest.raises(ConfigError, match=r"cannot go on with another config; training.lr: 0.003 before, 1.0 now"):
        pretrain(0, own_config(trained, root, "resume=auto", "training.lr=1.0"))
    assert_identical(content(trained), before)


def test_killed_three_times_and_resumed_equals_uninterrupted(trained: Path, root: Path, tmp_path: Path) -> None:
    config = own_config(tmp_path, root, "resume=auto")
    for update in (2, 7, 11):  # before the first checkpoint, between two, behind a validation that is cut off again
        killed(config, update)
        assert not (tmp_path / "metrics.json").exists()
    with pytest.raises(ConfigError, match=r"holds a training that has not finished \(--resume\)"):
        pretrain(0, own_config(tmp_path, root))
    pretrain(0, config)
    assert_identical(content(tmp_path), content(trained))


def test_other_images_are_not_gone_on_with(root: Path, tmp_path: Path) -> None:
    images = own_images(tmp_path / "images")
    config = own_config(tmp_path / "out", images, "resume=auto")
    killed(config, 6)
    (images / "red" / "0.png").unlink()
    with pytest.raises(CheckpointError, match=r"these are not what the training began with: images; put them back"):
        pretrain(0, config)


def test_overwriting_leaves_what_is_not_ours(root: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "metrics.json").write_text("{}")
    pretrain(0, own_config(tmp_path, root, "training.iterations=4", "training.precision=bfloat16"), overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert json.loads((tmp_path / "metrics.json").read_text())["what"] == "guide"


def test_a_first_training_removes_nothing(root: Path, tmp_path: Path) -> None:
    for name in ("samples_1.png", "classifier/model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    pretrain(0, own_config(tmp_path, root, "training.iterations=4"))
    assert (tmp_path / "samples_1.png").read_text() == (tmp_path / "classifier/model.safetensors").read_text() == "mine"


def test_files_that_are_left_out_are_told(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = own_images(tmp_path / "images")
    (images / "red" / "7.heic").write_bytes(b"")
    pretrain(0, own_config(tmp_path / "out", images, "training.iterations=4"))
    told = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(told) == 1
    assert told[0].endswith(
        f"left out 1 file that is no image by its name (1 .heic), such as {images / 'red' / '7.heic'}"
    )


def test_a_loss_that_is_not_finite_names_the_learning_rate(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^training.lr: the loss or its gradient is not finite in update \d+"):
        pretrain(0, own_config(tmp_path, root, "training.lr=1.0e+9", "training.warmup=0"))


def test_guide_yaml_makes_a_run(trained: Path, root: Path, tmp_path: Path) -> None:
    sections = yaml.safe_load((trained / "guide.yaml").read_text())
    assert sections["time"]["t"] == json.loads((trained / "metrics.json").read_text())["best_t"]
    run = yaml.safe_load((CONFIGS / "image_folder.yaml").read_text())
    run |= sections
    run["data"] |= {"root": str(root), "num_workers": 0}
    run["classifier"] |= {"name": "test_convnext", "pretrained": False, "num_classes": 3, "image_size": 32}
    run["method"] |= {"num_top": 2, "num_random": 1}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(run))
    adapt(0, load_config(path, [f"output_dir={tmp_path}", "name=run", "run.num_threads=1"]))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["mean"]["images"] == 18
    comments = (trained / "guide.yaml").read_text()
    assert f"# data.classes: {(trained / 'classes.json').absolute()}, classifier.num_classes: 3.\n" in comments
    other = [f"output_dir={tmp_path}", "name=other", "data.classes=[red, green, blue]"]
    with pytest.raises(ConfigError, match=r"^transformer.checkpoint: 2 of 3 classes differ from .*: 0 is 'red' in the"):
        adapt(0, load_config(path, other))


def test_a_classifier_that_timm_and_this_package_load(root: Path, tmp_path: Path) -> None:
    overrides = (
        "what=classifier",
        "tracking.tensorboard=true",
        "training.iterations=15",
        "training.ema_decay=0.5",
        "resume=auto",
        "augment.flip=true",
    )
    config = own_config(tmp_path / "a", root, *overrides, "image_size=32")
    pretrain(0, config)
    measured = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert measured["chance"] == pytest.approx(1 / 3)
    name = f"local-dir:{tmp_path / 'a' / 'classifier'}"
    theirs = timm.create_model(name, pretrained=True).eval()
    assert theirs.pretrained_cfg["label_names"] == ["blue", "green", "red"]
    assert timm.data.resolve_model_data_config(theirs)["crop_pct"] == 1.0
    ours = build_classifier(name, num_classes=3, pretrained=True, batch_norm="source")
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs((images - ours.mean) / ours.std), rtol=0, atol=1e-6)
    by_checkpoint = build_classifier("test_convnext", num_classes=3, checkpoint=str(tmp_path / "a" / "classifier"))
    assert by_checkpoint.source_view.image_size == 32
    assert by_checkpoint.source_view.crop_pct == 1.0

    assert list((tmp_path / "a" / "tensorboard").iterdir())

    other = own_config(tmp_path / "b", root, *overrides, "image_size=32")
    killed(other, 10)
    pretrain(0, other)
    weights = "classifier/model.safetensors"
    assert_identical(content(tmp_path / "b", weights), content(tmp_path / "a", weights))


def test_from_the_command_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "--config", "own_guide", "--print-config", "image_size=64"]) == 0
    assert "image_size: 64\n" in capsys.readouterr().out
    assert main(["pretrain", "--config", "own_guide", f"data.root={tmp_path / 'no'}", f"output_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'no'}: no such folder; data.root must name")
    assert error.count("\n") == 1
    assert main(["pretrain", "--config", "digits_pretrain", "--resume"]) == 2
    assert "--resume, --nproc: not for the demo's models" in capsys.readouterr().err
    assert main(["pretrain", "--config", "own_guide", "image_size=30", "transformer.family=dit"]) == 2
    assert "patches of 4 pixels do not divide image_size 30" in capsys.readouterr().err
