"""Operations against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.files import CONFIGS
from torch import nn
from torch.nn import functional as F

from dusa_ignite.config import load_config
from dusa_ignite.runs.bench.flops import count_flops, flops_of, footprint_of
from dusa_ignite.runs.bench.models import build
from dusa_ignite.runs.bench.sizes import load_sized

DEVICES = ["cpu", "meta"]


def there_and_back(module: nn.Module, inputs: torch.Tensor) -> tuple[int, int]:
    """Operations of a pass, and of a pass with the way back."""
    forward = count_flops(lambda: module(inputs))
    return forward, count_flops(lambda: module(inputs).sum().backward())


@pytest.mark.parametrize("device", DEVICES)
def test_a_linear_layer(device: str) -> None:
    layer = nn.Linear(5, 7).to(device)
    inputs = torch.empty(3, 5, device=device, requires_grad=True)
    forward = 2 * 3 * 5 * 7
    assert there_and_back(layer, inputs) == (forward, 3 * forward)
    layer.weight.requires_grad_(False)
    assert there_and_back(layer, inputs) == (forward, 2 * forward)  # no weight's gradient


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_convolutions(device: str, groups: int) -> None:
    layer = nn.Conv2d(8, 16, kernel_size=3, stride=2, padding=1, groups=groups).to(device)
    inputs = torch.empty(2, 8, 10, 12, device=device, requires_grad=True)
    forward = 2 * 2 * 5 * 6 * 16 * (8 // groups) * 3 * 3
    assert there_and_back(layer, inputs) == (forward, 3 * forward)
    assert there_and_back(layer, inputs.detach()) == (forward, 2 * forward)  # as of a first layer


def test_a_depthwise_convolution_of_convnext() -> None:
    layer = nn.Conv2d(96, 96, kernel_size=7, padding=3, groups=96)
    inputs = torch.empty(1, 96, 14, 14, requires_grad=True)
    assert there_and_back(layer, inputs) == (2 * 14 * 14 * 96 * 49, 3 * 2 * 14 * 14 * 96 * 49)


@pytest.mark.parametrize("device", DEVICES)
def test_attention(device: str) -> None:
    def attend(*given: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(*given)

    given = [torch.rand(2, 4, 6, 8, device=device, requires_grad=True) for _ in range(3)]
    forward = 4 * 2 * 4 * 6 * 6 * 8  # two products of 6 x 6 x 8, per head and image
    with torch.no_grad():
        assert count_flops(lambda: attend(*given)) == forward
    assert count_flops(lambda: attend(*given).sum().backward()) == 3 * forward


@pytest.mark.parametrize("overrides", [[], ["method.transformer_backward=sampled"], ["method.name=dusa_u"]])
def test_the_parts_add_up_to_a_real_update(overrides: list[str]) -> None:
    config, _ = load_sized(CONFIGS / "digits.yaml", ["data.batch_size=4", *overrides], size="tiny")
    built = build(config, pixels=32, textbook=False)
    counted = count_flops(lambda: built.method(None, built.batch))
    expected = 4 * flops_of(config).update(footprint_of(config))
    # What carries weights (einsum over candidates) is left out; so is nothing else.
    assert expected == pytest.approx(counted, rel=2e-3)


@pytest.mark.slow
def test_the_full_size_is_what_is_published() -> None:
    """ConvNeXt-L: 34.4 GMAC; SiT-XL/2: 118.6 GMAC (their papers); both counted without content."""
    config: Any = load_config(CONFIGS / "convnext.yaml", ["data.root=/x"])
    flops = flops_of(config)
    assert flops.classifier_alone / 2e9 == pytest.approx(34.4, rel=0.01)
    assert flops.candidate_alone / 2e9 == pytest.approx(118.6, rel=0.01)
    assert flops.candidate == pytest.approx(3 * flops.candidate_alone, rel=0.01)
