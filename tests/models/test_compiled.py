"""Compiled blocks: the same predictions, the same names, and which shapes are compiled. The compiler is a stand-in."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch

from dusa_ignite.errors import ConfigError
from dusa_ignite.models import compiled
from dusa_ignite.models.build import build_classifier
from dusa_ignite.models.compiled import compile_blocks
from dusa_ignite.testing.toys import SIDE, toy_classifier, toy_guide

CLASSES = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 0]])


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of the first input of every graph that is captured; they run as they are."""
    seen: list[int] = []

    def backend(module: Any, inputs: Any) -> Any:
        seen.append(max(len(value) for value in inputs if value.dim() == 3 or value.dim() == 4))
        return module.forward

    monkeypatch.setattr(compiled, "OPTIONS", {"dynamic": False, "backend": backend})
    torch.compiler.reset()
    return seen


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_smaller_pieces_run_eagerly(graphs: list[int], caplog: pytest.LogCaptureFixture) -> None:
    plain, guide = toy_guide(), toy_guide()
    classifier = toy_classifier()
    names = [list(guide.state_dict()), list(classifier.state_dict())]
    compile_blocks(classifier, guide)
    assert [list(guide.state_dict()), list(classifier.state_dict())] == names
    x_t, times = torch.randn(4, 3, 8, 8), torch.rand(4)
    with caplog.at_level(logging.INFO, logger="dusa_ignite.models.compiled"):
        for count in (4, 3, 4, 1):
            ours = guide.predict(x_t[:count], times[:count], CLASSES[:count])
            assert torch.equal(ours, plain.predict(x_t[:count], times[:count], CLASSES[:count]))
        with torch.no_grad():
            guide.predict(x_t, times, CLASSES)
    assert graphs == [8, 8]  # one with a graph of gradients and one without; 4 images x 2 classes
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" in ")[0] for line in lines] == [
        "run.compile: the transformer's blocks compiled for 8 at once, passes with a graph,",
        "run.compile: the transformer's blocks compiled for 8 at once, passes without one,",
    ]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_classifier_predicts_and_learns_the_same(graphs: list[int]) -> None:
    plain, classifier = toy_classifier(), toy_classifier()
    compile_blocks(classifier, None)
    images = torch.rand(3, 3, SIDE, SIDE)
    for model in (plain, classifier):
        model(images).square().sum().backward()
    assert graphs
    assert torch.equal(plain(images), classifier(images))
    for one, other in zip(plain.parameters(), classifier.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
    source = copy.deepcopy(classifier)  # as the monitor's
    with torch.no_grad():
        classifier.backbone.get_classifier().weight.zero_()
    assert torch.equal(source(images), plain(images))
    assert not torch.equal(classifier(images), plain(images))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_blocks_that_share_their_code_are_all_compiled(graphs: list[int]) -> None:
    """Four stages with one ``forward``: by itself torch stops at the eighth graph of it, after two kinds of pass."""
    classifier = build_classifier("test_convnext", num_classes=3, image_size=SIDE)
    compile_blocks(classifier, None)
    kinds = ((torch.enable_grad, 2), (torch.no_grad, 2), (torch.enable_grad, 4), (torch.no_grad, 4))
    for number, (mode, count) in enumerate(kinds, start=1):
        with mode():
            classifier(torch.rand(count, 3, SIDE, SIDE))
        assert len(graphs) == 4 * number


def test_a_guide_without_blocks_is_refused() -> None:
    guide = toy_guide()
    guide.transformer = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r"^run.compile: blocks needs .* Linear has none; set run.compile=off$"):
        compile_blocks(toy_classifier(), guide)
