"""Predictions from after the update, which count where every batch meets the source model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine
from support import method_runs as toys
from support.toys import CLASSES, SIDE

from dusa_ignite.config import Config
from dusa_ignite.methods.roid import correct_prior
from dusa_ignite.models import Classifier
from dusa_ignite.runs import build, build_method

GUIDE = {
    "transformer": {
        "family": "repa",
        "checkpoint": "random",
        "num_classes": CLASSES,
        "image_size": 8,
        "patch_size": 4,
        "hidden_size": 16,
        "depth": 1,
        "num_heads": 2,
    },
    "vae": {"pretrained": None},
}


def adapt(method: dict[str, Any], **sections: Any) -> tuple[Classifier, dict[str, Any], int]:
    """An episodic update on four images: the classifier afterwards, the output, and how often it was asked."""
    trainable = "norm" if method["name"] == "roid" else "all"
    config = Config.model_validate(
        {
            "name": "run",
            "setting": "episodic",
            "run": {"precision": "float64"},
            "data": {"name": "image_folder", "root": "nowhere", "batch_size": 4, "micro_batch_size": 4},
            "classifier": {
                "name": "test_convnext",
                "pretrained": False,
                "num_classes": CLASSES,
                "image_size": SIDE,
                "trainable": trainable,
            },
            "optimizer": {"name": "sgd", "lr": 0.1},
            "method": method,
            **sections,
        }
    )
    torch.manual_seed(0)
    classifier = build.classifier(config)
    guide = build.guide(config) if config.is_guided else None
    optimizer = build_method.optimizer(config, classifier, guide)
    memory = build_method.memory(config, classifier)
    update = build_method.update(config, classifier, guide, optimizer, memory=memory)
    passes: list[int] = []
    handle = classifier.register_forward_pre_hook(lambda module, inputs: passes.append(len(inputs[0])))
    output = update(Engine(update), toys.make_batch("fog", 0, 4))
    handle.remove()
    return classifier, output, len(passes)


def logits_of(classifier: Classifier) -> torch.Tensor:
    with torch.no_grad():
        return classifier(toys.make_batch("fog", 0, 4)["images"].double() / 255)


@pytest.mark.parametrize("prior_correction", [True, False])
def test_roid_corrects_what_it_predicts(prior_correction: bool) -> None:
    classifier, output, _ = adapt({"name": "roid", "prior_correction": prior_correction})
    raw = logits_of(classifier)
    assert torch.equal(output["y_pred"], correct_prior(raw) if prior_correction else raw)
    assert (correct_prior(raw) - raw).abs().max() > 0.1


@pytest.mark.parametrize("predict_after", [True, False])
def test_diffusion_tta_predicts_once_after_its_update(predict_after: bool) -> None:
    classifier, output, passes = adapt({"name": "diffusion_tta", "predict_after": predict_after}, **GUIDE)
    assert passes == 2  # one of them to learn
    assert torch.equal(output["y_pred"], logits_of(classifier))


def test_the_update_comes_before_the_prediction() -> None:
    classifier, output, _ = adapt({"name": "dusa", "num_top": 2, "num_random": 1}, **GUIDE)
    assert torch.equal(output["y_pred"], logits_of(classifier))
    torch.testing.assert_close(output["y"], torch.arange(4))
