"""The textbook's update is the real one, and the other variants are what they say."""

from __future__ import annotations

import pytest
from support.files import CONFIGS

from dusa_ignite.config import load_config
from dusa_ignite.errors import ConfigError
from dusa_ignite.runs.bench.first_update import FirstUpdate, first_update, gradient_differences, loss_difference
from dusa_ignite.runs.bench.models import build
from dusa_ignite.runs.bench.sizes import load_sized


def made(*overrides: str, textbook: bool = False, config: str = "digits") -> FirstUpdate:
    """The first update of a tiny setup in float64."""
    given = ["run.precision=float64", "data.root=/x", "data.batch_size=5", "data.micro_batch_size=2", *overrides]
    given = [override for override in given if config != "digits" or not override.startswith("data.root")]
    sized, _ = load_sized(CONFIGS / f"{config}.yaml", given, size="tiny")
    return first_update(build(sized, pixels=32, textbook=textbook))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["method.loss.distance=mse", "method.loss.cosine_weight=0", "method.normalise_logits=false"],
        ["method.diversity=0.1"],
        ["classifier.trainable=norm", "data.micro_batch_size=5"],
        ["transformer.trainable=false"],
        ["classifier.name=test_resnet"],
    ],
    ids=str,
)
def test_loss_and_gradients_are_those_of_the_real_update(overrides: list[str]) -> None:
    real, textbook = made(*overrides), made(*overrides, textbook=True)
    assert real.loss > 0
    assert loss_difference(textbook, real) < 1e-12
    differences = gradient_differences(textbook, real)
    frozen = "transformer.trainable=false" in overrides
    assert set(differences) == ({"classifier"} if frozen else {"classifier", "transformer"})
    assert max(differences.values()) < 1e-6
    for name in differences:  # and there is something to compare
        assert all(gradient is not None and gradient.any() for gradient in real.gradients[name]) or name == "classifier"
        assert any(gradient is not None and gradient.any() for gradient in real.gradients[name])


def test_published_guides_too() -> None:
    real, textbook = (made(textbook=textbook, config="convnext_dit") for textbook in (False, True))
    assert loss_difference(textbook, real) < 1e-12
    assert max(gradient_differences(textbook, real).values()) < 1e-6


def test_the_sampled_backward_has_the_classifiers_gradient_and_another_one_of_the_guide() -> None:
    every, sampled = made(), made("method.transformer_backward=sampled")
    assert loss_difference(sampled, every) < 1e-12
    differences = gradient_differences(sampled, every)
    assert differences["classifier"] < 1e-6
    assert differences["transformer"] > 1e-3


def test_the_textbook_knows_one_method() -> None:
    for override in ("method.transformer_backward=sampled", "method.name=dusa_u"):
        with pytest.raises(ConfigError, match=r"^textbook is the update of method.name=dusa with "):
            made(override, textbook=True)


def test_differences_by_hand() -> None:
    import torch

    one = FirstUpdate(3.0, {"classifier": [torch.tensor([3.0, 0.0]), None], "transformer": [None]})
    other = FirstUpdate(2.0, {"classifier": [torch.tensor([0.0, 4.0]), torch.tensor([3.0])], "transformer": [None]})
    assert loss_difference(one, other) == 0.5
    assert gradient_differences(one, other) == {"classifier": pytest.approx((9 + 16 + 9) ** 0.5 / 5)}
    assert gradient_differences(other, other) == {"classifier": 0.0}


def test_an_update_that_is_not_taken_has_no_gradients() -> None:
    config = load_config(CONFIGS / "digits.yaml", ["method.name=source"])
    first = first_update(build(config, pixels=32, textbook=False))
    assert first.gradients == {}
