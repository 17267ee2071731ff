"""Predictions from after the update, which count where every batch meets the source model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.toys import toy_classifier

from dusa_ignite.engine import Output
from dusa_ignite.methods import Method
from dusa_ignite.methods.diffusion_tta import DiffusionTta
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.roid import Roid, correct_prior
from dusa_ignite.models import Classifier


def adapt(method: type[Method], **options: Any) -> tuple[Classifier, Output, int]:
    """An update on four images: the classifier afterwards, the output, and how often it was asked."""
    classifier = toy_classifier(trainable="norm" if method.trains == "norms" else "all")
    parts: dict[str, Any] = {"classifier": classifier, "lr": 0.1, "micro_batch_size": 4}
    run = toys.Run(method, method.Options(**options), predict_after=True, **parts)
    passes: list[int] = []
    handle = classifier.register_forward_pre_hook(lambda module, inputs: passes.append(len(inputs[0])))
    output = run.meet([("fog", 0, 4)]).log[0]
    handle.remove()
    return classifier, output, len(passes)


def logits_of(classifier: Classifier) -> torch.Tensor:
    images: Any = toys.make_batch("fog", 0, 4)["images"]
    with torch.no_grad():
        return classifier(images.double() / 255)


@pytest.mark.parametrize("prior_correction", [True, False])
def test_roid_corrects_what_it_predicts(prior_correction: bool) -> None:
    classifier, output, _ = adapt(Roid, prior_correction=prior_correction)
    raw = logits_of(classifier)
    assert torch.equal(output["y_pred"], correct_prior(raw) if prior_correction else raw)
    assert (correct_prior(raw) - raw).abs().max() > 0.1


@pytest.mark.parametrize("predict_after", [True, False])
def test_diffusion_tta_predicts_once_after_its_update(predict_after: bool) -> None:
    classifier, output, passes = adapt(DiffusionTta, predict_after=predict_after)
    assert passes == 2  # one of them to learn
    assert torch.equal(output["y_pred"], logits_of(classifier))


def test_the_update_comes_before_the_prediction() -> None:
    classifier, output, _ = adapt(Dusa, num_top=2, num_random=1)
    assert torch.equal(output["y_pred"], logits_of(classifier))
    torch.testing.assert_close(output["y"], torch.arange(4))
