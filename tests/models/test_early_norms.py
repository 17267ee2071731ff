"""The norm layers before the last layers: which they are in every kind of model, and which methods learn them."""

from __future__ import annotations

import pytest
from support.toys import CLASSES, toy_classifier
from torch import nn

from dusa_ignite.config import Config
from dusa_ignite.errors import ConfigError
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.early_norms import early_norm_parameters
from dusa_ignite.models.norms import norm_parameters
from dusa_ignite.runs.assemble_models import classifier_of


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("test_vit", ("blocks.3.", "blocks.4.", "blocks.5.", "norm.", "fc_norm.")),
        ("test_convnext", ("stages.3.", "head.norm.")),
        ("test_resnet", ("layer4.",)),
        ("test_efficientnet", ("blocks.4.", "bn2.")),
    ],
)
def test_last_layers_do_not_learn(name: str, left_out: tuple[str, ...]) -> None:
    classifier = toy_classifier(name)
    every = norm_parameters(classifier)
    expected = {key for key in every if not key.removeprefix("backbone.").startswith(left_out)}
    assert early_norm_parameters(classifier).keys() == expected
    assert len(expected) < len(every)


def test_a_vits_own_norm_is_left_out_and_its_blocks_are_not() -> None:
    chosen = early_norm_parameters(toy_classifier("test_vit"))
    assert "backbone.norm.weight" not in chosen
    assert {"backbone.blocks.0.norm1.weight", "backbone.blocks.2.norm2.bias"} <= chosen.keys()


def test_unknown_models_are_refused() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    backbone.num_classes = 4  # type: ignore[assignment]
    backbone.pretrained_cfg = {"input_size": (3, 32, 32)}  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="of Sequential it is unknown"):
        early_norm_parameters(Classifier(backbone))
    classifier = toy_classifier("test_vit")
    classifier.backbone.blocks = classifier.backbone.blocks[:3]
    with pytest.raises(ConfigError, match="no norm layer before"):
        early_norm_parameters(classifier)


@pytest.mark.parametrize(("method", "early"), [("sar", True), ("deyo", True), ("tent", False)])
def test_methods_that_learn_them(method: str, early: bool) -> None:
    config = Config.model_validate(
        {
            "name": "run",
            "data": {"name": "image_folder", "root": "nowhere"},
            "classifier": {"name": "test_resnet", "pretrained": False, "num_classes": CLASSES, "trainable": "norm"},
            "method": {"name": method},
        }
    )
    classifier = classifier_of(config)
    learning = {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    assert learning == (early_norm_parameters if early else norm_parameters)(classifier).keys()
    assert any("layer4" in name for name in learning) != early
