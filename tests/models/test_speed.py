"""Other ways to compute the same: half precision, channels last, activation checkpointing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from dusa_ignite.errors import ConfigError
from dusa_ignite.methods import Dusa, Tent
from dusa_ignite.models.forward import predict
from dusa_ignite.models.guides.activation_checkpointing import checkpoint_blocks
from dusa_ignite.models.live_memory import usage
from dusa_ignite.testing.runs import Run
from dusa_ignite.testing.toys import SIDE, toy_classifier, toy_guide

IMAGES = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_classifier_in_half_precision_has_float32_logits_and_gradients(dtype: torch.dtype) -> None:
    whole, half = toy_classifier(), toy_classifier()
    half.compute_in(dtype)
    with torch.autocast("cpu", dtype=dtype):
        expected = whole.backbone(whole.view(IMAGES)).float()
    logits = half(IMAGES)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)
    assert not torch.equal(logits, whole(IMAGES))
    torch.testing.assert_close(logits, whole(IMAGES), rtol=0.1, atol=0.1)
    logits.square().mean().backward()
    assert {gradient.dtype for gradient in gradients(half)} == {torch.float32}
    assert {value.dtype for value in half.state_dict().values()} == {torch.float32}


def test_half_precision_follows_the_weights_within_an_outer_context() -> None:
    """As the adapter's: a cast from before a step would be stale."""
    classifier = toy_classifier()
    classifier.compute_in(torch.bfloat16)
    with torch.autocast("cpu", enabled=False):
        before = classifier(IMAGES).detach()
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.mul_(1.5)
        after = classifier(IMAGES).detach()
    assert not torch.equal(before, after)
    assert torch.equal(after, classifier(IMAGES))


def test_whoever_asks_the_classifier_computes_as_it_does() -> None:
    classifier = toy_classifier()
    classifier.compute_in(torch.bfloat16)
    expected = classifier(IMAGES).detach()
    assert torch.equal(predict(classifier, IMAGES, micro_batch_size=4), expected)
    assert torch.equal(predict(copy.deepcopy(classifier), IMAGES, micro_batch_size=4), expected)  # the monitor's
    own = dict(classifier.named_parameters())
    assert torch.equal(predict(classifier, IMAGES, micro_batch_size=4, parameters=own), expected)  # averaged norms
    logits, pooled = classifier.forward_with_features(IMAGES)
    assert torch.equal(logits, expected)
    assert pooled.dtype == torch.float32


def test_channels_last_is_a_layout_alone() -> None:
    plain, last = toy_classifier(), toy_classifier()
    last.compute_in(None, channels_last=True)
    assert last.view(IMAGES).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last(IMAGES), plain(IMAGES), rtol=1e-4, atol=1e-5)
    for name, value in plain.state_dict().items():
        assert torch.equal(last.state_dict()[name], value)
    kernels = [value for value in last.parameters() if value.dim() == 4 and min(value.shape[1:]) > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_checkpointed_blocks_have_the_same_gradients(half: torch.dtype | None) -> None:
    plain, less = toy_guide(), toy_guide()
    checkpoint_blocks(less.transformer)
    assert list(less.state_dict()) == list(plain.state_dict())
    x_t, times, classes = torch.randn(2, 3, 8, 8), torch.rand(2), torch.tensor([[0, 1], [2, 3]])
    for guide in (plain, less):
        guide.autocast_dtype = half
        with guide.weights_cast_once(torch.device("cpu")):
            for _ in range(2):  # micro-batches share the casts
                guide.predict(x_t, times, classes).square().mean().backward()
    pairs = list(zip(gradients(plain.transformer), gradients(less.transformer), strict=True))
    assert len(pairs) > 10
    assert all(torch.equal(one, other) for one, other in pairs)


def test_checkpointed_blocks_keep_less() -> None:
    kept = []
    for checkpointed in (False, True):
        guide: Any = toy_guide().to("meta")
        if checkpointed:
            checkpoint_blocks(guide.transformer)
        x_t, times = torch.empty(8, 3, 8, 8, device="meta"), torch.empty(8, device="meta")
        classes = torch.empty(8, dtype=torch.int64, device="meta")
        present = [*guide.transformer.parameters(), x_t, times, classes]
        transformer = guide.transformer
        used = usage(lambda t=transformer, x=x_t, s=times, c=classes: t(x, s, c), present=present, graph=True)
        kept.append(used.graph)
    assert kept[1] < 0.5 * kept[0]


def test_a_transformer_without_blocks_cannot_be_checkpointed() -> None:
    with pytest.raises(ConfigError, match=r"^transformer.activation_checkpointing: .* Linear has none; set .*=none$"):
        checkpoint_blocks(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("method", [Tent, Dusa])
def test_an_update_in_bfloat16_is_near_the_update_in_float32(method: Any) -> None:
    states = []
    for dtype in (None, torch.bfloat16):
        classifier = toy_classifier(trainable="norm").double()
        run = Run(method, classifier=classifier, lr=1e-3)
        run.classifier.float()
        run.classifier.compute_in(dtype)
        if run.method.guide is not None:
            run.method.guide.float()
        run.method.dtype = torch.float32
        states.append((run.meet([("fog", 0, 5)]), run.state()["classifier"]))
    (one, before), (other, after) = states
    assert one.log[0]["loss"] == pytest.approx(other.log[0]["loss"], rel=0.05)
    assert other.log[0]["y_pred"].dtype == torch.float32
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed
    for name in before:
        torch.testing.assert_close(before[name], after[name], rtol=0.02, atol=2e-3)
