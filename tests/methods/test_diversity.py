"""The reward of diverse predictions: its value and gradient by hand, whatever the pieces, and nothing at weight 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import made_methods as made
from support import method_runs as toys
from support.toys import toy_classifier

from dusa_ignite.methods.diversity import diversity_terms
from dusa_ignite.models import forward
from dusa_ignite.testing import Run

METHODS: dict[str, Callable[..., Run]] = {
    "dusa": made.make_dusa,
    "dusa, sampled": made.make_dusa_sampled,
    "dusa_u": made.make_dusa_u,
    "diffusion_tta": made.make_diffusion_tta,
}
WEIGHT = 0.5


def no_logits() -> torch.Tensor:
    raise AssertionError("nobody needs them")


def term(logits: torch.Tensor) -> torch.Tensor:
    """sum_c m_c log m_c, written down."""
    mean = logits.softmax(1).mean(0)
    return (mean * mean.log()).sum()


def test_value_by_hand() -> None:
    logits = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]], dtype=torch.float64).log().clamp_min(-1e4)
    of_images = diversity_terms(2.0, lambda: logits, 3)
    assert of_images is not None
    expected = 2 * (0.25 * math.log(0.25) + 0.75 * math.log(0.75))  # m = (1/4, 3/4)
    assert of_images(logits).mean().item() == pytest.approx(expected, abs=1e-15)
    single = of_images(logits[:1]).item()
    assert single == pytest.approx(2 * (0.5 * math.log(0.25) + 0.5 * math.log(0.75)), abs=1e-15)


def test_the_gradient_is_exact_in_any_pieces() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(5, 4, dtype=torch.float64, generator=generator)).requires_grad_()
    (expected,) = torch.autograd.grad(WEIGHT * term(logits), logits)
    of_images = diversity_terms(WEIGHT, lambda: logits, 5)
    assert of_images is not None
    for part in (slice(0, 2), slice(2, 5)):
        (of_images(logits[part]).sum() / 5).backward()
    torch.testing.assert_close(logits.grad, expected, rtol=0, atol=1e-15)


def test_a_class_that_nothing_is_near_is_no_nan() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4], [1e4, 0.0, -1e4]], requires_grad=True)
    of_images = diversity_terms(1.0, lambda: logits, 2)
    assert of_images is not None
    value = of_images(logits).mean()
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_without_weight_there_is_no_term() -> None:
    assert diversity_terms(0.0, no_logits, 3) is None


@pytest.mark.parametrize("name", METHODS)
def test_the_update_has_the_term_once(name: str) -> None:
    """One step of SGD: what the weight adds to the loss and to the classifier's gradient is the term's, and no more."""
    batch = toys.CONTINUAL[:1]
    without, with_term = (METHODS[name](diversity=weight).meet(batch) for weight in (0.0, WEIGHT))
    classifier = toy_classifier().double()
    value = WEIGHT * term(classifier(toys.make_batch(*batch[0])["images"].double() / 255))
    assert with_term.log[0]["loss"] - without.log[0]["loss"] == pytest.approx(value.item(), abs=1e-10)
    assert with_term.log[0]["diagnostics"] == without.log[0]["diagnostics"]
    named = {name: p for name, p in classifier.named_parameters() if p.requires_grad}
    for key, gradient in zip(named, torch.autograd.grad(value, list(named.values())), strict=True):
        moved = without.state()["classifier"][key] - with_term.state()["classifier"][key]
        torch.testing.assert_close(moved, toys.LR * gradient, rtol=0, atol=1e-10)
    toys.assert_close(with_term.state()["transformer"], without.state()["transformer"])


@pytest.mark.parametrize(("micro_batch_size", "diversity", "passes"), [(2, 0.0, 3), (2, 0.5, 6), (8, 0.5, 1)])
def test_a_further_pass_only_where_it_is_needed(
    micro_batch_size: int, diversity: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = made.make_dusa(micro_batch_size=micro_batch_size, diversity=diversity), list[int]()
    monkeypatch.setattr(
        run.classifier, "forward", lambda images, ask=run.classifier.forward: (seen.append(1), ask(images))[1]
    )
    run.meet(toys.CONTINUAL[:1])
    assert len(seen) == passes
    assert forward.micro_batches(run.classifier, 5, micro_batch_size=2) == [slice(0, 2), slice(2, 4), slice(4, 5)]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "check", [toys.check_micro_batches, toys.check_reset, toys.check_resume, toys.check_empty, toys.check_not_finite]
)
def test_contract(check: Any, name: str) -> None:
    check(lambda **options: METHODS[name](**{"diversity": WEIGHT, **options}))


@pytest.mark.parametrize("weight", [-0.1, math.nan])
def test_impossible_weights(weight: float) -> None:
    with pytest.raises(ValueError, match="diversity"):
        made.make_dusa(diversity=weight)
