"""From a config to the parts of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.configs import MINIMAL
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.runs import assemble_classification
from dusa_ignite.runs.assemble import build_tasks
from dusa_ignite.runs.assemble_models import classifier_of, guide_of


@pytest.mark.parametrize(
    ("overrides", "size", "channels"),
    [
        ([], 32, 4),  # latents are an eighth of the image
        (["transformer.image_size=512"], 64, 4),
        (["vae.pretrained=null", "transformer.image_size=32"], 32, 3),
    ],
)
def test_input_of_the_transformer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], size: int, channels: int
) -> None:
    class Stop(Exception):
        pass

    def load(checkpoint: str, **options: Any) -> None:
        assert checkpoint == "last.pt"
        assert (options["latent_size"], options["in_channels"]) == (size, channels)
        raise Stop

    monkeypatch.setattr(assemble_classification, "load_transformer", load)
    (tmp_path / "mini.yaml").write_text(MINIMAL)
    with pytest.raises(Stop):
        guide_of(load_config(tmp_path / "mini.yaml", overrides))


@pytest.mark.parametrize(
    ("method", "batch_norm", "learning"),
    [("source", "source", False), ("lame", "source", False), ("rotta", "source", True), ("tent", "batch", True)],
)
def test_the_classifier_is_what_the_method_needs(method: str, batch_norm: str, learning: bool) -> None:
    config = load_config(CONFIGS / "digits.yaml", [f"method.name={method}"])
    classifier = classifier_of(config)
    assert classifier.batch_norm == batch_norm
    assert any(parameter.requires_grad for parameter in classifier.parameters()) == learning
    assert guide_of(config) is None


def test_data_and_classifier_agree_on_the_classes() -> None:
    overrides = ["classifier.num_classes=11", "transformer.num_classes=11"]
    with pytest.raises(ConfigError) as caught:
        build_tasks(load_config(CONFIGS / "digits.yaml", overrides))
    assert str(caught.value) == "classifier.num_classes: 11, but data digits has 10; they must agree"
