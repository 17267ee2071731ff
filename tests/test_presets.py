"""Per-method settings within a config file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dusa_ignite.config import Config, load_config
from dusa_ignite.errors import ConfigError

FILE = """
name: x
data: {name: digits}
classifier: {name: test_convnext, num_classes: 10}
transformer: {family: repa, checkpoint: random, variant: SiT-S/2, num_classes: 10, image_size: 8}
vae: {pretrained: null}
optimizer: {name: adam, lr: 1.0e-4}
method: {name: dusa, num_top: 3}
presets:
  source: {classifier: {batch_norm: source}, optimizer: {name: sgd, lr: 0.5, momentum: 0.0}}
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    (tmp_path / "x.yaml").write_text(text)
    return load_config(tmp_path / "x.yaml", overrides)


def test_the_files_own_method_is_as_the_file_says(tmp_path: Path) -> None:
    config = load(tmp_path, FILE)
    assert config.method.model_dump()["num_top"] == 3
    assert config.optimizer.name == "adam"


@pytest.mark.parametrize("choice", ["method.name=source", "method={name: source}"])
def test_a_preset_comes_with_its_method(tmp_path: Path, choice: str) -> None:
    config = load(tmp_path, FILE, choice)
    assert config.classifier.batch_norm == "source"
    assert config.optimizer.model_dump() == {
        "name": "sgd",
        "lr": 0.5,
        "transformer_lr": None,
        "weight_decay": 0.0,
        "momentum": 0.0,
    }


def test_overrides_come_after_presets(tmp_path: Path) -> None:
    config = load(tmp_path, FILE, "optimizer.lr=0.25", "method.name=source")
    assert config.optimizer.lr == 0.25
    assert config.optimizer.name == "sgd"


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("tnet: {}", "presets.tnet: there is no such method"),
        ("source: 3", "presets: write a mapping"),
        ("source: {optimizer: {lr: fast}}", "presets.source.optimizer.lr=fast: optimizer.lr"),
    ],
)
def test_errors_name_the_preset(tmp_path: Path, preset: str, message: str) -> None:
    text = FILE[: FILE.index("presets:")] + "presets: {" + preset + "}\n"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, "method.name=source")
    assert message in str(caught.value)
