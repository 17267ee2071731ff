"""Values that a config takes, and the lines about those it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.configs import MINIMAL, NAMES, errors_of

from dusa_ignite import load_config
from dusa_ignite.errors import ConfigError

# What the keys' descriptions say
LR = "(the classifier's learning rate, >= 0)"
BETAS = "(decay of the two moments, each in [0, 1))"
BATCH = "(images per update, over all processes, >= 1)"
SEED = "(of everything random, 0 .. 2^32 - 1)"
SEVERITIES = "(list out of 1 (weak) .. 5 (strong))"
DATA_SETS = (
    "imagenet_c | cifar10_c | cifar100_c | image_folder | image_list | webdataset | corrupted_folder | digits | "
)
DATA_SETS += "ade20k | ade20k_c | cityscapes | acdc | canvases | mask_folder"
SETTINGS = (
    "'fully', 'continual', 'gradual', 'mixed', 'correlated' or 'episodic' (how tasks are arranged and when the model "
    "is reset)"
)


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4", ".1e-3", "+1.e-4"])
def test_scientific_notation(minimal: Path, text: str) -> None:
    assert load_config(minimal, [f"optimizer.lr={text}"]).optimizer.lr == 1e-4


def test_integer_for_a_number(minimal: Path) -> None:
    lr = load_config(minimal, ["optimizer.lr=0"]).optimizer.lr
    assert (lr, type(lr)) == (0.0, float)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optimizer.lr=abc", f"optimizer.lr: 'abc' is text and should be a valid number {LR}"),
        ("optimizer.lr='5'", f"optimizer.lr: '5' is text and should be a valid number {LR}"),
        ("optimizer.lr=-1e-5", f"optimizer.lr: -1e-05 should be greater than or equal to 0 {LR}"),
        ("optimizer.lr=.nan", f"optimizer.lr: nan should be a finite number {LR}"),
        ("optimizer.lr=1e999", f"optimizer.lr: inf should be a finite number {LR}"),
        ("optimizer.lr=true", f"optimizer.lr: true should be a valid number {LR}"),
        (
            "optimizer.transformer_lr=x",
            "optimizer.transformer_lr: 'x' is text and should be a valid number (the transformer's, >= 0; null = lr)",
        ),
        ("optimizer.betas=[0.9]", f"optimizer.betas: [0.9] has no item 2 {BETAS}"),
        ("optimizer.betas=[0.9, 1]", f"optimizer.betas: 1 should be less than 1 {BETAS}"),
        (
            "optimizer.betas=[0.9, 0.9, 0.9]",
            f"optimizer.betas: [0.9, 0.9, 0.9] should have at most 2 items after validation, not 3 {BETAS}",
        ),
        ("data.batch_size='5'", f"data.batch_size: '5' is text and should be a valid integer {BATCH}"),
        ("data.batch_size=5.0", f"data.batch_size: 5.0 should be a valid integer {BATCH}"),
        ("data.batch_size=true", f"data.batch_size: true should be a valid integer {BATCH}"),
        ("data.batch_size=0", f"data.batch_size: 0 should be greater than or equal to 1 {BATCH}"),
        ("data.batch_size=null", f"data.batch_size: null should be a valid integer {BATCH}"),
        (
            "data.limit=0",
            "data.limit: 0 should be greater than or equal to 1 (images per task, >= 1, a random subset; null = all)",
        ),
        ("data.shuffle=1", "data.shuffle: 1 should be true or false (whether a task's images come in random order)"),
        (
            "data.shuffle=yes",
            "data.shuffle: 'yes' is text and should be true or false (whether a task's images come in random order)",
        ),
        ("data.severities=5", f"data.severities: 5 should be a list {SEVERITIES}"),
        ("data.severities=[]", f"data.severities: [] should have at least 1 item after validation, not 0 {SEVERITIES}"),
        ("data.severities=[6]", f"data.severities: 6 should be less than or equal to 5 {SEVERITIES}"),
        ("data.severities=[5,5]", "data.severities: 5 listed more than once"),
        ("data.on_error=ignore", "data.on_error: 'ignore' should be 'raise' or 'skip' (what an unreadable image does)"),
        ("setting=sometimes", f"setting: 'sometimes' should be {SETTINGS}"),
        ("setting=off", f"setting: 'off' should be {SETTINGS}"),
        ("seed=-1", f"seed: -1 should be greater than or equal to 0 {SEED}"),
        ("seed=4294967296", f"seed: 4294967296 should be less than 4294967296 {SEED}"),
        ("seed=1_000", f"seed: '1_000' is text and should be a valid integer {SEED}"),
        ("data=5", f"data: 5 should be a mapping (name: {DATA_SETS})"),
        ("norm_ema=true", "norm_ema: true should be a mapping (decay, evaluate), or null"),
        ("time.t=1.5", "time.t: 1.5 should be less than or equal to 1 (time, 0 (data) .. 1 (noise))"),
        ("method.loss.p=-1", "method.loss.p: -1 should be greater than or equal to 0 (power of norm_l2, >= 0)"),
        ("name=../x", rf"name: '../x' should match pattern '^\w[\w .+=-]*$' {NAMES}"),
        ("name=a/b", rf"name: 'a/b' should match pattern '^\w[\w .+=-]*$' {NAMES}"),
        (
            "name=5",
            f"""name: 5 should be a valid string: quote it, on the command line name='"5"' {NAMES}""",
        ),
        (
            "tracking.clearml={tags: [010]}",
            "tracking.clearml.tags: 10 should be a valid string: quote it (to find it by)",
        ),
        ("name=[a]", f"name: ['a'] should be a valid string {NAMES}"),
        ("output_dir=''", "output_dir: '' should have at least 1 character (folder of all runs' outputs)"),
        (
            "transformer.hidden_size=10",
            "transformer.hidden_size: 10 should be a multiple of 4 (>= 4, by 4; null = the variant's)",
        ),
        (
            "transformer.family=dti",
            "transformer.family: 'dti' is not allowed; allowed: repa | sit | dit, or path/to/file.py:NAME",
        ),
    ],
)
def test_wrong_value(minimal: Path, override: str, line: str) -> None:
    assert errors_of(minimal, override) == [line]


@pytest.mark.parametrize("data", ["imagenet_c", "digits"])
def test_wrong_corruptions(minimal: Path, data: str) -> None:
    name = f"data.name={data}"
    start = "data.corruptions: 'gausian_noise' is no corruption, did you mean gaussian_noise?; allowed: benchmark | all"
    (line,) = errors_of(minimal, name, "data.corruptions=[fog,gausian_noise]")
    assert line.startswith(start)
    assert errors_of(minimal, name, "data.corruptions=[fog,fog]") == ["data.corruptions: fog listed more than once"]
    for value in ("fog", "[]", "5"):
        (line,) = errors_of(minimal, name, f"data.corruptions={value}")
        assert line.endswith("is not allowed; allowed: benchmark | all | a list such as [gaussian_noise]")


def test_corruptions_keep_their_order(minimal: Path) -> None:
    assert load_config(minimal, ["data.corruptions=[snow, fog]"]).model_dump()["data"]["corruptions"] == ("snow", "fog")


def test_class_names(minimal: Path) -> None:
    def classes(value: str) -> Any:
        config = load_config(minimal, ["data.name=image_folder", "data.root=/x", f"data.classes={value}"])
        return config.model_dump()["data"]["classes"]

    assert classes("null") is None
    assert classes("names.txt") == "names.txt"
    assert classes("[b, a]") == ("b", "a")
    with pytest.raises(
        ConfigError, match=r"data.classes: \[\] is not allowed; allowed: a file, a list of names, or null"
    ):
        classes("[]")
    with pytest.raises(
        ConfigError, match=r"data.classes: 1 is not text; allowed: a file, a list of names, or null; quote"
    ):
        classes("[1, 2]")
