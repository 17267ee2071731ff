"""What computations without content take, against numbers worked out by hand and tensors that torch really saves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from dusa_ignite.models import Classifier, Guide
from dusa_ignite.models.guides.paths import linear
from dusa_ignite.models.guides.transformer import DiffusionTransformer
from dusa_ignite.models.live_memory import usage
from dusa_ignite.models.model_memory import bytes_of, classifier_usage, encoding_usage, transformer_usage
from dusa_ignite.testing.toys import SIDE, toy_classifier

META = torch.device("meta")


def saved_bytes(compute: Callable[[], torch.Tensor], *, present: list[torch.Tensor]) -> int:
    """The storages that a graph really keeps, and the result's, but for what was there before."""
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = compute()
    kept[result.untyped_storage().data_ptr()] = result.untyped_storage()
    for tensor in present:
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(storage.nbytes() for storage in kept.values())


def test_a_layer_by_hand() -> None:
    layer = nn.Linear(3, 5, device=META)
    images = torch.empty(2, 3, device=META)
    present = [*layer.parameters(), images]
    measured = usage(lambda: layer(images).relu(), present=present, graph=True)
    assert measured.graph == 2 * 5 * 4  # the result alone, which is all that relu saves
    assert measured.peak == 40 + 40 + 40 + 60 + 20  # result, its gradient, that before relu; of weight and bias
    assert layer.weight.grad is not None
    alone = usage(lambda: layer(images).relu(), present=present, graph=False)
    assert alone == (40, 80)  # before and after relu


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "test_resnet", "mobilenetv3_small_050"])
def test_a_classifier_keeps_what_torch_saves(name: str) -> None:
    real = toy_classifier(name)
    images = torch.rand(4, 3, SIDE, SIDE)
    with META:
        shapes = toy_classifier(name, load=False)
    measured = classifier_usage(shapes, 4, graph=True)
    present = [*real.parameters(), *real.buffers(), images]
    assert measured.graph == pytest.approx(saved_bytes(lambda: real(images), present=present), rel=0.03)
    assert measured.peak >= max(measured.graph, bytes_of(shapes.parameters()))
    assert classifier_usage(shapes, 4, graph=False).graph == 4 * 7 * 4  # logits


def guide(device: torch.device | str, dtype: torch.dtype | None = None) -> Guide:
    with torch.device(device):
        transformer = DiffusionTransformer(
            latent_size=8, in_channels=3, patch_size=2, hidden_size=32, depth=2, num_heads=2, num_classes=5,
            learn_sigma=False,
        )  # fmt: skip
    transformer.y_embedder.requires_grad_(False)
    return Guide(transformer, path=linear, image_size=8, autocast_dtype=dtype).eval()


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("embedded", [False, True])
def test_a_guide_keeps_what_torch_saves(dtype: torch.dtype | None, embedded: bool) -> None:
    real = guide("cpu", dtype)
    noised, times, classes = torch.rand(6, 3, 8, 8), torch.rand(6), torch.zeros(6, 1, dtype=torch.int64)
    vectors = torch.rand(6, 32, requires_grad=True)
    present = [*real.parameters(), noised, times]

    def predict() -> torch.Tensor:
        if embedded:
            return real.predict_embedded(noised, times, vectors)
        return real.predict(noised, times, classes)

    measured = transformer_usage(guide(META, dtype), 6, graph=True, embedded=embedded)
    assert measured.graph == pytest.approx(saved_bytes(predict, present=present), rel=0.1)


def test_a_frozen_guide_has_no_graph() -> None:
    shapes = guide(META)
    shapes.requires_grad_(False)
    assert transformer_usage(shapes, 6, graph=True, embedded=False).graph == 6 * 3 * 8 * 8 * 4
    assert encoding_usage(shapes, 6) == (0, 0)  # in pixel space


def test_attention_needs_no_matrix_of_all_tokens() -> None:
    query = torch.empty(1, 1, 1000, 4, device=META, requires_grad=True)
    kept = usage(lambda: nn.functional.scaled_dot_product_attention(query, query, query), present=[query], graph=True)
    assert kept.graph == 1000 * 4 * 4 + 1000 * 4  # the result, and a number per token


def test_the_classifier_stays_as_it_is() -> None:
    with META:
        classifier = toy_classifier(load=False)
    assert isinstance(classifier, Classifier)
    before = {name: parameter.requires_grad for name, parameter in classifier.named_parameters()}
    classifier_usage(classifier, 2, graph=True)
    assert {name: parameter.requires_grad for name, parameter in classifier.named_parameters()} == before
