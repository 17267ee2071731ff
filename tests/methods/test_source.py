"""Source: predictions of the classifier as it is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from dusa_ignite.methods.source import Source
from dusa_ignite.models import Classifier, build_classifier
from dusa_ignite.models.weights import weights_sha256


def make_classifier(name: str, batch_norm: str) -> Classifier:
    torch.manual_seed(0)
    options = {"img_size": 32} if name == "test_vit" else None
    return build_classifier(name, num_classes=5, image_size=32, batch_norm=batch_norm, options=options)


def make_batch(count: int) -> dict[str, Any]:
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return {"images": images, "labels": torch.arange(count), "index": torch.arange(count), "task": "noise/5"}


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
@pytest.mark.parametrize("micro_batch_size", [1, 3, 8])
def test_predictions_are_the_classifiers(name: str, micro_batch_size: int) -> None:
    classifier, batch = make_classifier(name, "source"), make_batch(8)
    before = weights_sha256(classifier)
    method = Source(classifier=classifier, micro_batch_size=micro_batch_size)
    output = method(None, batch)
    torch.testing.assert_close(output["y_pred"], classifier(batch["images"] / 255).detach(), rtol=0, atol=1e-5)
    assert torch.equal(output["y"], torch.arange(8))
    assert math.isnan(output["loss"])
    assert output["diagnostics"] == {"skipped_update": 0}
    assert not output["y_pred"].requires_grad
    assert weights_sha256(classifier) == before


def test_lists_of_mixed_sizes() -> None:
    classifier, batch = make_classifier("test_vit", "batch"), make_batch(3)
    batch["images"] = [batch["images"][0], batch["images"][1, :, :20], batch["images"][2, :, :, 5:]]
    method = Source(classifier=classifier, micro_batch_size=2)
    expected = classifier([image / 255 for image in batch["images"]])
    torch.testing.assert_close(method(None, batch)["y_pred"], expected.detach(), rtol=0, atol=1e-5)


def test_a_share_without_images() -> None:
    method = Source(classifier=make_classifier("test_vit", "source"), micro_batch_size=2)
    output = method(None, {**make_batch(0), "images": torch.empty(0, 3, 1, 1, dtype=torch.uint8)})
    assert output["y_pred"].shape == (0, 5)


def test_batch_statistics_would_be_adaptation() -> None:
    with pytest.raises(ValueError, match="batch_norm='source'"):
        Source(classifier=make_classifier("test_resnet", "batch"), micro_batch_size=2)
