"""Plain values are those of YAML 1.2, in files and on the command line, and come back as what they were."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.configs import MINIMAL, errors_of

from dusa_ignite import load_config
from dusa_ignite.config import to_yaml
from dusa_ignite.config.yaml_file import parse_yaml

VALUES: dict[str, Any] = {
    # What YAML 1.1 takes for true and false
    "off": "off", "on": "on", "no": "no", "yes": "yes", "No": "No", "y": "y", "n": "n", "OFF": "OFF",
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False, "tRue": "tRue",
    # What it takes for other numbers, or for none
    "010": 10, "-007": -7, "+12": 12, "0": 0, "1_000": "1_000", "0b11": "0b11", "1:30": "1:30", "9:20:30": "9:20:30",
    "0o17": 15, "0xF": 15, "0xfe": 254, "0o8": "0o8", "0xG": "0xG", "-0xF": "-0xF",
    "1e-5": 1e-5, "1E5": 1e5, "1.5": 1.5, ".5": 0.5, "5.": 5.0, "-1.e+3": -1000.0, "1_0.5": "1_0.5", "1.5.2": "1.5.2",
    ".inf": math.inf, "-.Inf": -math.inf, "+.INF": math.inf, "inf": "inf", "nan": "nan", "e5": "e5", ".": ".",
    # What it takes for dates
    "2026-11-25": "2026-11-25", "2024-13-45": "2024-13-45", "2026-11-25 10:30:00": "2026-11-25 10:30:00",
    "~": None, "null": None, "Null": None, "NULL": None, "": None, "none": "none",
    "=": "=", "'010'": "010", '"off"': "off", "!!str 10": "10", "!!int '010'": 10,
}  # fmt: skip
TEXTS = [value for value in VALUES.values() if isinstance(value, str)]
LOOK_LIKE_VALUES = [
    "010",
    "1e-5",
    "0xF",
    "0o17",
    ".inf",
    ".nan",
    "true",
    "null",
    "~",
    "",
    "<<",
    "5",
    "-1.5",
    " x",
    "a: b",
]


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_plain_value(text: str, value: Any) -> None:
    found = parse_yaml(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(parse_yaml(".nan"))


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(MINIMAL)
    return path


def test_in_overrides(minimal: Path) -> None:
    overrides = ["seed=010", "data.limit=0xFF", "data.num_workers=0o2", "optimizer.lr=1e-5", "name=2026-11-25"]
    config = load_config(minimal, [*overrides, "output_dir=off", "tracking.clearml={project: off, mode: off}"])
    assert (config.seed, config.data.limit, config.data.num_workers) == (10, 255, 2)
    assert (config.optimizer.lr, config.name, config.output_dir) == (1e-5, "2026-11-25", "off")
    assert config.model_dump()["tracking"]["clearml"]["project"] == "off"
    assert load_config(minimal, ["tracking.clearml.mode=off"]).model_dump()["tracking"]["clearml"]["mode"] == "off"
    (line,) = errors_of(minimal, "optimizer.lr=.inf")
    assert line.startswith("optimizer.lr: inf should be a finite number")
    (line,) = errors_of(minimal, "optimizer.lr=1_0.5")
    assert line.startswith("optimizer.lr: '1_0.5' is text and should be a valid number")


def test_in_files(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("name: mini", "name: 2026-11-25\nseed: 010\noutput_dir: yes"))
    config = load_config(minimal)
    assert (config.name, config.seed, config.output_dir) == ("2026-11-25", 10, "yes")
    minimal.write_text(MINIMAL + "setting: off\nrun: {deterministic: no}\n")
    setting, deterministic = errors_of(minimal)
    assert setting.startswith("setting: 'off' should be 'fully'")
    assert deterministic.startswith("run.deterministic: 'no' is text and should be true or false")


def test_keys_that_yaml_1_1_does_not_take_for_text(minimal: Path) -> None:
    minimal.write_text(MINIMAL.replace("a1h_in1k", "a1h_in1k, options: {on: 1, off: 2, 2026-11-25: 3}"))
    assert load_config(minimal).classifier.options == {"on": 1, "off": 2, "2026-11-25": 3}


def test_written_texts_come_back_as_texts(minimal: Path, tmp_path: Path) -> None:
    texts = [*TEXTS, *LOOK_LIKE_VALUES]
    options = {"texts": texts, "numbers": [1e-5, 1e22, 10, -0.5, True, None], "010": "010"}
    written = json.dumps(options)
    tags = yaml.safe_dump(texts, default_flow_style=True, default_style="'", width=10_000).strip()
    config = load_config(
        minimal, [f"classifier.options={written}", "tracking.clearml.project=our", f"tracking.clearml.tags={tags}"]
    )
    assert config.classifier.options == options
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(config))
    again = load_config(copy)
    assert again == config
    assert again.classifier.options == options
    assert again.model_dump(mode="json")["tracking"]["clearml"]["tags"] == texts


@pytest.mark.parametrize("name", ["010", "1e-5", "2026-11-25", "off", "0xF", "null", "true"])
def test_a_runs_name_may_look_like_a_value(minimal: Path, tmp_path: Path, name: str) -> None:
    config = load_config(minimal, [f"name='{name}'"])
    copy = tmp_path / "copy.yaml"
    copy.write_text(to_yaml(config))
    assert load_config(copy).name == config.name == name
