"""Values that a config takes, and the lines about those it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.configs import MINIMAL, NAMES, errors_of

from dusa_ignite import load_config
from dusa_ignite.errors import ConfigError


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
        ("optimizer.lr=abc", "optimizer.lr: 'abc' is not a number; allowed: a number >= 0"),
        ("optimizer.lr='5'", "optimizer.lr: '5' is not a number; allowed: a number >= 0"),
        ("optimizer.lr=-1e-5", "optimizer.lr: '-1e-5' is not allowed; allowed: a number >= 0"),
        ("optimizer.lr=.nan", "optimizer.lr: nan is not a finite number; allowed: a number >= 0"),
        ("optimizer.lr=1e999", "optimizer.lr: '1e999' is not a finite number; allowed: a number >= 0"),
        ("optimizer.lr=true", "optimizer.lr: true is not a number; allowed: a number >= 0"),
        (
            "optimizer.transformer_lr=x",
            "optimizer.transformer_lr: 'x' is not a number; allowed: a number >= 0, or null",
        ),
        (
            "optimizer.betas=[0.9]",
            "optimizer.betas: [0.9] is not allowed; allowed: a list of 2, each a number >= 0 and < 1",
        ),
        ("data.batch_size='5'", "data.batch_size: '5' is not an integer; allowed: an integer >= 1"),
        ("data.batch_size=5.0", "data.batch_size: 5.0 is not an integer; allowed: an integer >= 1"),
        ("data.batch_size=true", "data.batch_size: true is not an integer; allowed: an integer >= 1"),
        ("data.batch_size=0", "data.batch_size: 0 is not allowed; allowed: an integer >= 1"),
        ("data.batch_size=null", "data.batch_size: null is not allowed; allowed: an integer >= 1"),
        ("data.limit=0", "data.limit: 0 is not allowed; allowed: an integer >= 1, or null"),
        ("data.shuffle=1", "data.shuffle: 1 is neither true nor false; allowed: true | false"),
        (
            "data.severities=5",
            "data.severities: 5 is not a list; allowed: a non-empty list, each an integer >= 1 and <= 5",
        ),
        ("data.severities=[5,5]", "data.severities: 5 listed more than once"),
        ("data.on_error=ignore", "data.on_error: 'ignore' is not allowed; allowed: raise | skip"),
        (
            "setting=sometimes",
            "setting: 'sometimes' is not allowed; allowed: fully | continual | gradual | mixed | correlated | episodic",
        ),
        ("seed=-1", "seed: -1 is not allowed; allowed: an integer >= 0 and < 4294967296"),
        ("data=5", "data: 5 is not a mapping; allowed: a mapping with name imagenet_c | image_folder | digits"),
        (
            "norm_ema=true",
            "norm_ema: true is not a mapping; allowed: a mapping with keys decay, evaluate, or null",
        ),
        ("time.t=1.5", "time.t: 1.5 is not allowed; allowed: a number >= 0 and <= 1"),
        ("method.loss.p=-1", "method.loss.p: -1 is not allowed; allowed: a number >= 0"),
        ("name=../x", f"name: '../x' is not allowed; allowed: {NAMES}"),
        ("name=a/b", f"name: 'a/b' is not allowed; allowed: {NAMES}"),
        ("name=5", f"""name: 5 is not text (quote it, on the command line name='"5"'); allowed: {NAMES}"""),
        (
            "name=2026-11-25",
            f"""name: 2026-11-25 is not text (quote it, on the command line name='"2026-11-25"'); allowed: {NAMES}""",
        ),
        (
            "transformer.hidden_size=10",
            "transformer.hidden_size: 10 is not allowed; allowed: an integer >= 4 and a multiple of 4, or null",
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
    with pytest.raises(ConfigError, match=r"data.classes: \[1, 2\] is not allowed; allowed: text \| a list, each text"):
        classes("[1, 2]")
