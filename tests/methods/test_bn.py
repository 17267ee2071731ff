"""BN: mixed statistics by hand, on BatchNorm2d and timm's BatchNormAct2d, and a classifier that stays as it was."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from support import method_runs as toys
from support.entropy import unit_images
from support.made_methods import make_bn as make
from support.made_methods import make_mixed_bn as make_mixed
from support.made_methods import source_classifier
from support.toys import CLASSES, assert_identical, toy_classifier
from timm.layers import BatchNormAct2d
from torch import nn

from dusa_ignite.errors import DataError
from dusa_ignite.methods.bn import Bn
from dusa_ignite.methods.mixed_statistics import MixedStatistics, batch_norm_layers, global_statistics
from dusa_ignite.models import Classifier


def test_statistics_by_hand() -> None:
    x = torch.tensor([[[1.0, 3.0]], [[5.0, 7.0]]])  # two images, one channel, two pixels
    mean, variance = global_statistics(x)
    assert (mean.tolist(), variance.tolist()) == ([4], [5])
    assert all(statistic.isnan().all() for statistic in global_statistics(x[:0]))


def test_statistics_stay_on_the_device() -> None:
    """A transfer would have no values to hand over."""
    x = torch.empty(2, 3, 4, 4, device="meta")
    assert [statistic.device.type for statistic in global_statistics(x)] == ["meta", "meta"]
    layer = nn.BatchNorm2d(3, device="meta").eval()
    with MixedStatistics(layer, alpha=1.0):
        assert layer(x).shape == x.shape


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(2), BatchNormAct2d(2)])
def test_a_layer_by_hand(layer: nn.BatchNorm2d) -> None:
    layer = copy.deepcopy(layer).double().eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([2.0, 1.0]))
        layer.bias.copy_(torch.tensor([0.5, 3.0]))
        layer.running_mean.copy_(torch.tensor([1.0, -1.0]))  # type: ignore[union-attr]
        layer.running_var.copy_(torch.tensor([4.0, 0.25]))  # type: ignore[union-attr]
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.empty_like(x)
    for c, (weight, bias, mean, var) in enumerate([(2.0, 0.5, 1.0, 4.0), (1.0, 3.0, -1.0, 0.25)]):
        values = x[:, c]
        mixed_mean = 0.75 * mean + 0.25 * values.mean()
        mixed_var = 0.75 * var + 0.25 * (values - values.mean()).square().mean()
        expected[:, c] = weight * (values - mixed_mean) / (mixed_var + layer.eps).sqrt() + bias
    if isinstance(layer, BatchNormAct2d):
        expected = expected.relu()
    with MixedStatistics(layer, alpha=0.25):
        torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_alpha_one_is_the_batch_and_zero_the_source(name: str) -> None:
    source = source_classifier(name)
    batch = Classifier(copy.deepcopy(source.backbone), image_size=source.image_size, batch_norm="batch")
    for alpha, reference in ((1.0, batch), (0.0, source)):
        run = make(name, alpha=alpha).meet(toys.CONTINUAL[:3])
        for step, output in zip(toys.CONTINUAL[:3], run.log, strict=True):
            with torch.no_grad():
                toys.assert_close(output["y_pred"], reference(unit_images(step)))
            assert math.isnan(output["loss"])


def test_without_batch_norm_it_is_the_source() -> None:
    run = make("test_convnext", micro_batch_size=8).meet(toys.CONTINUAL)
    for step, output in zip(toys.CONTINUAL, run.log, strict=True):
        assert torch.equal(output["y_pred"], run.classifier(unit_images(step)))


def test_the_classifier_is_left_as_it_was() -> None:
    run = make_mixed()
    before = run.state()
    buffers = [layer.running_mean for layer in batch_norm_layers(run.classifier)]
    run.meet(toys.CONTINUAL)
    assert_identical(run.state(), before)
    layers = batch_norm_layers(run.classifier)
    assert all(layer.running_mean is kept for layer, kept in zip(layers, buffers, strict=True))
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)


def test_an_error_in_a_layer_leaves_the_statistics() -> None:
    layer = nn.BatchNorm2d(2).eval()
    kept = layer.running_mean
    with pytest.raises(ValueError, match="4D"), MixedStatistics(layer, alpha=1.0):
        layer(torch.zeros(3, 2))
    assert layer.running_mean is kept
    assert not layer._forward_pre_hooks


def test_one_image() -> None:
    run = make(alpha=0.5).meet([("fog", 0, 1)])
    assert run.log[0]["y_pred"].isfinite().all()
    layer = nn.BatchNorm1d(2).eval()
    with pytest.raises(DataError, match="a batch of one image has no statistics"), MixedStatistics(layer, alpha=1.0):
        layer(torch.ones(1, 2))


def test_batch_statistics_of_the_classifier_itself_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_norm='source'"):
        Bn(classifier=toy_classifier("test_resnet"), micro_batch_size=2)


def test_no_image() -> None:
    for variant in (make, make_mixed):
        assert variant().meet([("fog", 0, 0)]).log[0]["y_pred"].shape == (0, CLASSES)


@pytest.mark.parametrize("variant", [make, make_mixed])
def test_the_micro_batch_size_changes_nothing(variant: Any) -> None:
    toys.check_micro_batches(variant)
